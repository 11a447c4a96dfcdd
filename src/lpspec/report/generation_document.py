"""Generated text as a JSON document."""

from dataclasses import asdict
from typing import Any

from lpspec.decoding.generate import Step
from lpspec.experiments.acceptance import PositionAcceptance
from lpspec.experiments.generation import Generated, Written
from lpspec.report.documents import run_document


def generation_document(generated: Generated) -> dict[str, Any]:
    """What ``lpspec generate --json`` writes: ``text``, ``token_ids`` and ``steps``, or ``requests`` of these."""
    request = generated.request
    texts = [_text(text) for text in generated.written]
    return {
        **(texts[0] if len(texts) == 1 else {"requests": texts}),
        "systems": [run_document(run) for run in generated.runs],
        "left_out": [{"system": name, "why": why} for name, why in generated.left_out],
        "acceptance": {
            "tokens_per_step": generated.tokens_per_step,
            "by_position": [_position(position) for position in generated.acceptance],
        },
        "measured": {"tokens_per_s": generated.measured_tokens_per_s, **generated.provenance["machine"]},
        "model": request.model,
        "priced_as": generated.priced_as,
        "drafter": request.drafter,
        "tree": request.tree,
        "objective": request.objective,
        "lossless": request.accept == "exact",
        "basis": request.basis,
        "notes": list(generated.notes),
        "provenance": generated.provenance,
    }


def _text(written: Written) -> dict[str, Any]:
    return {
        "prompt": written.prompt,
        "prompt_tokens": written.prompt_tokens,
        "text": written.text,
        "token_ids": list(written.token_ids),
        "prefill_ns": written.prefill_ns,
        "steps": [_step(step) for step in written.steps],
    }


def _step(step: Step) -> dict[str, int]:
    return {
        "context": step.context,
        "tree_size": step.tree.size,
        "accepted": step.accepted,
        "committed": len(step.tokens),
        "draft_ns": step.draft_ns,
        "verify_ns": step.verify_ns,
        "accept_ns": step.accept_ns,
    }


def _position(position: PositionAcceptance) -> dict[str, Any]:
    return asdict(position) | {"rate": position.rate, "by_rank": list(position.by_rank)}
