"""``lpspec generate``, ``record`` and ``calibrate`` as their users meet them."""

import io
import json
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from command_line import Said

from lpspec.decoding.model_files import demo_folder

PROMPT = "Q: Tom has 3 boxes of 12 pens. How many pens does he have?\nA:"
SHORT = ("--prompt", PROMPT, "--new-tokens", "24")
SYSTEM_KEYS = {
    "system",
    "platform",
    "tokens_per_s",
    "tokens_per_j",
    "edp_s_mj",
    "mean_acceptance_length",
    "mean_l_spec",
    "mean_heads",
}


def document(lpspec: Callable[..., Said], *argv: str) -> dict[str, Any]:
    said = lpspec(*argv, "--json", "-")
    assert said.code == 0, said.err
    found: dict[str, Any] = json.loads(said.out)
    return found


def test_the_text_comes_first_and_then_what_it_would_have_taken(lpspec: Callable[..., Said]) -> None:
    said = lpspec("generate", *SHORT, "--compare", "npu,pim")
    found = document(lpspec, "generate", *SHORT, "--compare", "npu,pim")
    assert said.code == 0
    assert said.out.startswith(found["text"] + "\n")
    assert [row[0] for row in said.numbers] == ["lp-spec", "npu", "pim"]
    for promised in ("drafts accepted", "L_spec", "token/s measured", "greedy: the model's own"):
        assert promised in said.out


def test_a_system_that_cannot_run_is_left_out_with_the_reason(lpspec: Callable[..., Said]) -> None:
    """One ended all; that for which trees are sized still does."""
    found = document(lpspec, "generate", *SHORT, "--compare", "npu,ahasd,pim", "--fidelity", "analytic")
    assert [one["system"] for one in found["systems"]] == ["lp-spec", "npu", "pim"]
    assert [one["system"] for one in found["left_out"]] == ["ahasd"]
    said = lpspec("generate", *SHORT, "--compare", "npu,ahasd", "--fidelity", "analytic")
    assert [row[0] for row in said.numbers] == ["lp-spec", "npu", "ahasd"]
    assert said.numbers[-1][-1] == "out"
    why = found["left_out"][0]["why"]
    assert f"left out  ahasd: {why}" in said.out
    refused = lpspec("generate", *SHORT, "--system", "ahasd", "--compare", "npu")
    assert (refused.code, refused.err) == (2, f"lpspec: {why}\n")


def test_json_has_the_promised_keys_and_they_agree(lpspec: Callable[..., Said]) -> None:
    found = document(lpspec, "generate", *SHORT, "--compare", "npu")
    steps = found["steps"]
    assert len(found["token_ids"]) == 24 == 1 + sum(step["committed"] for step in steps)
    keys = {"context", "tree_size", "accepted", "committed", "draft_ns", "verify_ns", "accept_ns"}
    assert all(set(step) == keys for step in steps)
    assert steps[0]["context"] == found["prompt_tokens"]
    for before, after in pairwise(steps):
        assert after["context"] == before["context"] + before["committed"]
    assert all(set(system) >= SYSTEM_KEYS for system in found["systems"])
    lp_spec, npu = found["systems"]
    assert lp_spec["steps"] == len(steps)
    assert npu["steps"] == npu["tokens"] == lp_spec["tokens"] == 23
    first = found["acceptance"]["by_position"][0]
    before_the_end = sum(step["accepted"] >= 1 for step in steps[:-1])  # the last token may be a right draft, too
    assert first["accepted"] - before_the_end in (0, 1)
    assert first["accepted"] == sum(first["by_rank"])
    assert first["reached"] == sum(step["tree_size"] > 1 for step in steps)
    assert found["provenance"]["config"]["request"]["new_tokens"] == 24


@pytest.mark.parametrize("drafter", ["eagle", "prompt-lookup"])
@pytest.mark.parametrize("tree", ["dtp", "6"])
def test_no_drafter_changes_the_text(lpspec: Callable[..., Said], drafter: str, tree: str) -> None:
    plain = document(lpspec, "generate", *SHORT, "--drafter", "none")
    found = document(lpspec, "generate", *SHORT, "--drafter", drafter, "--tree", tree)
    assert found["token_ids"] == plain["token_ids"]
    assert {step["tree_size"] for step in plain["steps"]} == {1}
    assert plain["acceptance"]["by_position"] == []


def test_a_larger_model_is_priced_for_the_same_steps(lpspec: Callable[..., Said]) -> None:
    own = document(lpspec, "generate", *SHORT, "--tree", "8")
    large = document(lpspec, "generate", *SHORT, "--tree", "8", "--as", "llama2-7b")
    assert large["token_ids"] == own["token_ids"]
    assert [step["tree_size"] for step in large["steps"]] == [step["tree_size"] for step in own["steps"]]
    assert large["priced_as"] == "llama2-7b"
    assert large["systems"][0]["tokens_per_s"] < own["systems"][0]["tokens_per_s"] / 100


def test_sampling_repeats_with_its_seed_and_changes_with_another(lpspec: Callable[..., Said]) -> None:
    options = ("generate", *SHORT, "--temperature", "1", "--top-p", "0.9", "--seed")
    first, again, other = (document(lpspec, *options, seed)["token_ids"] for seed in ("1", "1", "2"))
    assert first == again != other


@pytest.mark.parametrize("accept", ["exact", "typical"])
def test_a_prompt_draws_from_its_own_stream(lpspec: Callable[..., Said], tmp_path: Path, accept: str) -> None:
    """What the second prompt becomes depends on its place and the seed, and not on the prompt before it."""
    file = tmp_path / "prompts.jsonl"
    options = ("--temperature", "1", "--seed", "3", "--accept", accept, "--new-tokens", "16")

    def second(first: str) -> list[list[int]]:
        file.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in (first, PROMPT, PROMPT)))
        found = document(lpspec, "generate", "--prompts", str(file), *options)
        return [request["token_ids"] for request in found["requests"]][1:]

    once, again = second("Once"), second("First Citizen:\nSpeak, and")
    assert once == again
    assert once[0] != once[1]  # the same prompt at another place


@pytest.mark.parametrize("temperature", ["1e-300", "1e-30"])
def test_a_temperature_near_zero_writes_the_greedy_text(lpspec: Callable[..., Said], temperature: str) -> None:
    greedy = document(lpspec, "generate", *SHORT)
    for accept in ("exact", "typical"):
        found = document(lpspec, "generate", *SHORT, "--temperature", temperature, "--accept", accept)
        assert found["token_ids"] == greedy["token_ids"]


def test_the_last_token_counts_where_it_was_drafted(lpspec: Callable[..., Said], tmp_path: Path) -> None:
    """With two new tokens every pass ends the text; what it drafted for the second is right or wrong all the same."""
    prompts = [PROMPT, "Once", "First Citizen:\nSpeak, and", "Q: Anna buys 4 books.\nA:"]
    file = tmp_path / "prompts.jsonl"
    file.write_text("".join(json.dumps(prompt) + "\n" for prompt in prompts))
    found = document(lpspec, "generate", "--prompts", str(file), "--new-tokens", "2", "--tree", "16")
    (first,) = found["acceptance"]["by_position"]
    assert (first["position"], first["reached"]) == (1, 4)
    assert first["accepted"] == sum(first["by_rank"]) == first["rate"] * 4 > 0


def test_a_text_ends_where_the_generation_config_says(lpspec: Callable[..., Said], tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(demo_folder(), model)
    options = ("generate", "--model", str(model), *SHORT, "--drafter", "none")
    whole = document(lpspec, *options)["token_ids"]
    end = next(token for place, token in enumerate(whole) if place > 5 and token not in whole[:place])
    (model / "generation_config.json").write_text(json.dumps({"eos_token_id": [1023, end], "temperature": 0.6}))
    assert document(lpspec, *options)["token_ids"] == whole[: whole.index(end) + 1]
    (model / "generation_config.json").write_text(json.dumps({"eos_token_id": whole[0]}))
    found = document(lpspec, *options)
    assert (found["token_ids"], found["systems"], found["steps"]) == (whole[:1], [], [])
    assert found["acceptance"] == {"tokens_per_step": None, "by_position": []}
    assert lpspec(*options).code == 0


def test_what_no_position_has_is_null(lpspec: Callable[..., Said], tmp_path: Path) -> None:
    """Four roots of a turn have no token four places on, so nothing is known of the fourth head."""
    for drafter, file in (("medusa", "ranks.npz"), ("eagle", "trees.npz")):
        summary, trace = tmp_path / f"{drafter}.json", tmp_path / file
        options = ("--prompt", PROMPT, "--new-tokens", "5", "--drafter", drafter)
        said = lpspec("record", *options, "--to", str(trace), "--json", str(summary))
        assert said.code == 0, said.err
        right = json.loads(summary.read_text())["right"]
        assert all(share is not None for shares in right[:3] for share in shares)
        assert all(share is None for shares in right[3:] for share in shares)
        assert len(right) >= 4
        assert trace.is_file()
        assert "nan" not in said.out


def test_typical_acceptance_is_labelled_lossy(lpspec: Callable[..., Said]) -> None:
    options = ("generate", *SHORT, "--temperature", "0.7")
    assert "LOSSY" not in lpspec(*options).out
    assert "typical acceptance, LOSSY" in lpspec(*options, "--accept", "typical").out
    assert document(lpspec, *options, "--accept", "typical")["lossless"] is False


def test_prompts_of_a_file_become_requests(lpspec: Callable[..., Said], tmp_path: Path) -> None:
    lines = [{"prompt": "Once"}, {"turns": ["First Citizen:", "more"]}, "bare text"]
    file = tmp_path / "prompts.jsonl"
    file.write_text("\n".join(json.dumps(line) for line in lines) + "\n\n")
    found = document(lpspec, "generate", "--prompts", str(file), "--new-tokens", "8")
    assert [request["prompt"] for request in found["requests"]] == ["Once", "First Citizen:", "bare text"]
    assert all(len(request["token_ids"]) == 8 for request in found["requests"])
    assert found["systems"][0]["tokens"] == 3 * 7
    alone = document(lpspec, "generate", "--prompt", "First Citizen:", "--new-tokens", "8")
    assert found["requests"][1]["text"] == alone["text"]


def test_a_prompt_may_come_from_standard_input(lpspec: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    given = document(lpspec, "generate", *SHORT)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(PROMPT.encode())))
    assert document(lpspec, "generate", "--prompt", "-", "--new-tokens", "24")["text"] == given["text"]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ((), "give either --prompt TEXT or --prompts FILE.jsonl"),
        (("--prompt", ""), "the prompt is empty"),
        (("--prompt", "a", "--prompts", "b"), "give either"),
        (("--prompts", "missing.jsonl"), "cannot be read"),
        (("--prompt", "a", "--model", "missing"), "no model folder 'missing'"),
        (("--prompt", "a", "--drafter", "medsua"), "did you mean 'medusa'"),
        (("--prompt", "a", "--heads", "missing"), "no draft heads 'missing'"),
        (("--prompt", "a", "--drafter", "draft-model"), "drafter 'draft-model' needs"),
        (("--prompt", "a", "--compare", "npu,,pim"), "--compare npu,,pim has an empty name"),
        (("--prompt", "a", "--system", "lpspec"), "did you mean 'lp-spec'"),
        (("--prompt", "a", "--tree", "0"), "tree size 0 is not possible"),
        (("--prompt", "a", "--tree", "mc_sim_7b_64"), "did you mean 'mc_sim_7b_63'"),
        (("--prompt", "a", "--tree", "mc_sim_7b_63", "--drafter", "eagle"), "shapes its own trees"),
        (("--prompt", "a", "--objective", "speed"), "objective: unknown value 'speed'"),
        (("--prompt", "a", "--temperature", "-1"), "temperature is -1.0"),
        (("--prompt", "a", "--temperature", "nan"), "temperature is nan"),
        (("--prompt", "a", "--temperature", "1", "--top-p", "0"), "top-p is 0.0"),
        (("--prompt", "a", "--new-tokens", "1"), "new_tokens: must be at least 2, not 1"),
        (("--prompt", "a", "--top-p", "0.5"), "give a temperature too"),
        (("--prompt", "a", "--accept", "typical"), "give a temperature too"),
        (("--prompt", "a", "--accept", "typicla", "--temperature", "1"), "did you mean 'typical'"),
        (("--prompt", "a", "--seed", "-1"), "seed: must be at least 0, not -1"),
        (("--prompt", "a", "--new-tokens", "2000"), "takes 1024 at most"),
        (("--prompt", "a " * 2000), "takes 1024 at most"),
        (("--prompt", "a", "--as", "lama2-7b"), "did you mean 'llama2-7b'"),
        (("--prompt", "a", "--as", ""), "unknown model ''"),
        (("--prompt", "a", "--basis", "fair"), "basis: unknown value 'fair'"),
        (("--prompt", "a", "--dtype", "fp8"), "dtype: unknown value 'fp8'"),
        (("--prompt", "a", "--backend", "numba"), "backend: unknown value 'numba'"),
        (("--prompt", "a", "--prices", "p.json"), "--prices needs --objective machine"),
        (("--prompt", "a", "--objective", "machine", "--prices", "p.json"), "cannot read price list 'p.json'"),
        (("--prompt", "a", "--json", "missing/"), "is a folder"),
    ],
)
def test_bad_input_is_one_line(lpspec: Callable[..., Said], argv: tuple[str, ...], said: str) -> None:
    answer = lpspec("generate", *argv)
    assert answer.code == 2
    assert said in answer.err
    assert answer.err.count("\n") == 1
    assert answer.out == ""


@pytest.mark.parametrize("line", ["{", "[]", "{}", '{"prompt": 3}', '{"turns": []}', '{"prompt": ""}', "\\ud800"])
def test_a_bad_line_of_a_prompt_file_is_named(lpspec: Callable[..., Said], tmp_path: Path, line: str) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "good"}\n' + line + "\n")
    said = lpspec("generate", "--prompts", str(file))
    assert said.code == 2
    assert f"prompt file '{file}', line 2" in said.err


def test_a_prompt_too_long_is_named_before_any_is_decoded(lpspec: Callable[..., Said], tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "good"}\n' + json.dumps({"prompt": "long " * 2000}) + "\n")
    said = lpspec("generate", "--prompts", str(file))
    assert said.code == 2
    assert said.err.startswith("lpspec: prompt 2: ")


def test_a_recorded_trace_is_replayed_by_compare(lpspec: Callable[..., Said], tmp_path: Path) -> None:
    trace = tmp_path / "new" / "mine.npz"
    said = lpspec("record", *SHORT, "--to", str(trace))
    assert said.code == 0
    assert said.out.splitlines()[-1] == f"wrote {trace}"
    replayed = document(lpspec, "compare", "--trace", str(trace), "--systems", "lp-spec", "--tree", "8")
    live = document(lpspec, "generate", *SHORT, "--tree", "8")
    assert replayed["systems"][0]["steps"] == len(live["steps"])
    assert replayed["systems"][0]["tokens"] == 23


def test_trees_of_eagle_are_recorded_too(lpspec: Callable[..., Said], tmp_path: Path) -> None:
    trace = tmp_path / "eagle.npz"
    found = document(lpspec, "record", *SHORT, "--drafter", "eagle", "--nodes", "16", "--to", str(trace))
    assert trace.is_file()
    assert found["positions"] == 23
    shares = [share for (share,) in found["right"]]
    assert shares == sorted(shares, reverse=True)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("--to", "x.txt"), "must end in .npz"),
        (("--to", "x.npz", "--drafter", "none"), "guesses nothing"),
        (("--to", "x.npz", "--nodes", "64"), "allowed are 1 to 63"),
        (("--to", "x.npz", "--new-tokens", "1"), "must be at least 2, not 1"),
    ],
)
def test_bad_recordings_are_one_line(
    lpspec: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = lpspec("record", "--prompt", "Once", *argv)
    assert answer.code == 2
    assert said in answer.err
    assert list(tmp_path.iterdir()) == []


def test_calibrated_prices_size_trees_for_real_speed(lpspec: Callable[..., Said], tmp_path: Path) -> None:
    file = tmp_path / "prices.json"
    said = lpspec("calibrate", "--seconds", "0.1", "--longest", "128", "--json", str(file))
    assert said.code == 0
    assert "milliseconds of a step" in said.out
    prices = json.loads(file.read_text())
    assert prices.pop("provenance")["command"][1] == "calibrate"
    assert set(prices["machine"]) == {"processor", "system", "cores", "threads", "torch", "device", "backend", "dtype"}
    found = document(lpspec, "generate", *SHORT, "--objective", "machine", "--prices", str(file))
    plain = document(lpspec, "generate", *SHORT, "--drafter", "none")
    assert found["token_ids"] == plain["token_ids"]
    assert found["provenance"]["machine_prices"] == prices
    other = lpspec("generate", *SHORT, "--objective", "machine", "--prices", str(file), "--drafter", "eagle")
    assert other.code == 2
    assert (
        "is of demo, medusa, float32, backend compiled; wanted is one of demo, eagle, float32, backend compiled"
        in other.err
    )


@pytest.mark.parametrize(("option", "value"), [("--longest", "0"), ("--seconds", "0"), ("--seconds", "nan")])
def test_bad_calibrations_are_one_line(lpspec: Callable[..., Said], option: str, value: str) -> None:
    said = lpspec("calibrate", option, value)
    assert (said.code, said.out) == (2, "")
    assert option in said.err
