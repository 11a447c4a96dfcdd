"""What stands behind a page: machines with every constant's source, the acceptance, how to repeat and to cite."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lpspec import __version__
from lpspec.experiments.step_timeline import StepTimeline
from lpspec.report.page.contents import Section
from lpspec.report.page.html import Html, table, tag
from lpspec.report.sheets import Sheet
from lpspec.report.wording import digits

PAPER = (
    "S. He, Z. Zhu, Y. He and T. Jia: LP-Spec: Leveraging LPDDR PIM for Efficient LLM Mobile Speculative Inference "
    "with Architecture-Dataflow Co-Optimization. ICCAD 2025, arXiv:2508.07227, doi 10.48550/arXiv.2508.07227"
)
BIBTEX = """@inproceedings{lpspec2025,
  title     = {{LP-Spec}: Leveraging {LPDDR PIM} for Efficient {LLM} Mobile Speculative Inference with
               Architecture-Dataflow Co-Optimization},
  author    = {He, S. and Zhu, Z. and He, Y. and Jia, T.},
  booktitle = {IEEE/ACM International Conference on Computer-Aided Design (ICCAD)},
  year      = {2025},
  doi       = {10.48550/arXiv.2508.07227}
}"""


@dataclass(frozen=True)
class Origin:
    """What a page's figures were made from, as far as it can be had.

    Attributes:
        sheets: Of machines, energy profiles and models, each once.
        trace: Of the acceptance; None where it cannot be had.
        gaps: What cannot be had, one line each.
        roofs: By system, what its machine can do and what its passes ask for.
        step: One step by its memory commands; None where it cannot be had.
        no_step: Why not; empty where nobody asked.
    """

    sheets: tuple[Sheet, ...] = ()
    trace: Sheet | None = None
    gaps: tuple[str, ...] = ()
    roofs: tuple[Any, ...] = ()
    step: StepTimeline | None = None
    no_step: str = ""


def constants(sheets: Iterable[Sheet], gaps: Sequence[str]) -> tuple[Html, ...]:
    """Every constant with unit, meaning and source, and what follows from them; a fold for each sheet."""
    parts = [tag("p", gap) for gap in gaps]
    for sheet in sheets:
        facts = ((fact.key, fact.text, fact.description, fact.source) for fact in sheet.facts)
        inside = [table(("key", "value", "meaning", "source"), facts, 4, _class="prose")]
        if sheet.identities:
            follows = (
                (one.key, f"{digits(one.value)} {one.unit}".strip(), one.description) for one in sheet.identities
            )
            inside += [tag("h3", "what follows"), table(("key", "value", "meaning"), follows, 3, _class="prose")]
        summary = tag("summary", tag("strong", f"{sheet.kind} {sheet.name}"), f": {sheet.summary}")
        parts.append(tag("details", summary, *inside))
    return tuple(parts)


def closing(origin: Origin, command: str, scenario: dict[str, Any], version: str) -> tuple[Section, ...]:
    """The last sections of a page: constants, how to repeat its figures, and what to cite."""
    return (
        Section("constants", "Constants and their sources", constants(origin.sheets, origin.gaps)),
        Section("repeat", "Repeat", repeat([command], scenario, version)),
        Section("cite", "Cite", cite()),
    )


def repeat(commands: Sequence[str], scenario: dict[str, Any] | None, version: str) -> tuple[Html, ...]:
    """How the same figures come again.

    Args:
        commands: To be copied into a shell.
        scenario: What is run, as plain data; None where the commands say all.
        version: What made the figures.
    """
    parts = [tag("pre", "\n".join(commands))]
    if scenario is not None:
        parts.append(tag("details", tag("summary", "scenario"), tag("pre", json.dumps(scenario, indent=1))))
    return (*parts, tag("p", f"Figures made by lpspec {version}; this page by lpspec {__version__}."))


def cite() -> tuple[Html, ...]:
    """What to cite."""
    software = f"lpspec {__version__}: an open implementation of LP-Spec. Apache-2.0."
    return (tag("p", "The design: ", PAPER), tag("p", "The simulator: ", software), tag("pre", BIBTEX))
