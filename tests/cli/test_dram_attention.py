"""``lpspec dram attention``: the line and its error, the file beside it, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Said, assert_refused

Lpspec = Callable[..., Said]


def test_the_line_its_error_and_the_file(lpspec: Lpspec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = lpspec("dram", "attention", "--ini", "lp-spec.ini", "--json", "line.json")
    assert said.code == 0, said.err
    found = json.loads(Path("line.json").read_text("utf-8"))
    entry = f'{{"slope": {found["slope"]:.4f}, "intercept": {found["intercept"]:.4f}}},'
    assert said.out.splitlines()[0] == f'"lp-spec": {entry}'
    assert entry in Path("lp-spec.ini").read_text("utf-8")
    line = [(found["slope"] * n + found["intercept"]) / found["channels"] for n in found["lengths"]]
    errors = [abs(a / b - 1) for a, b in zip(line, found["measured_ns"], strict=True)]
    assert found["largest_error"] == pytest.approx(max(errors))
    assert found["lengths"][errors.index(max(errors))] == found["largest_error_at"]
    assert f"error  {max(errors):.1%} at most, at {found['largest_error_at']} positions" in said.out


def test_a_slower_mac_makes_a_steeper_line(lpspec: Lpspec) -> None:
    plain, slow = (
        json.loads(lpspec("dram", "attention", "--json", "-", *argv).out)
        for argv in ((), ("--set", "pim.mac_interval=10 ns"))
    )
    assert slow["slope"] > 1.3 * plain["slope"]


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        ("--platform mobile-npu", "platform 'mobile-npu' has no PIM ranks"),
        ("--platform lp-spek", "did you mean 'lp-spec'"),
        ("--ini .", "--ini . is a folder"),
        ("--energy-profile atacc", "did you mean 'attacc'"),
        ("--ini a.json --json a.json", "a.json"),
    ],
)
def test_what_cannot_be_is_refused(
    lpspec: Lpspec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: str, hint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    said = lpspec("dram", "attention", *argv.split())
    assert_refused(said, hint)
    assert list(tmp_path.iterdir()) == []
