"""What docs/extending.md says of the files that an extension touches, counted in the source."""

from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "lpspec"


def naming(word: str) -> tuple[set[str], set[str]]:
    """Files that name a word: outside the checker, and its own."""
    files = {path for ending in ("py", "toml") for path in SOURCE.rglob(f"*.{ending}")}
    named = {path.relative_to(SOURCE).as_posix() for path in files if word in path.read_text("utf-8")}
    checker = {name for name in named if name.startswith("dram/check/")}
    return named - checker, checker


@pytest.mark.parametrize("timing", ["nPBR2ACT", "nPBR2PBR"])
def test_a_timing_rule_is_a_row_a_field_and_a_value(timing: str) -> None:
    files, checker = naming(timing)
    dies = {"machine/dies/lpddr5-6400-8gb.toml", "machine/dies/lpddr6-10667-16gb.toml"}  # one a standard
    assert files == {"dram/rules.py", "machine/timing.py"} | dies
    assert checker == {"dram/check/log.py", "dram/check/timing.py", "dram/check/refresh.py"}


@pytest.mark.parametrize("command", ["PIM_PRE", "PIM_REFAB"])
def test_a_pim_command_is_in_six_files(command: str) -> None:
    files, checker = naming(command)
    engine = {f"dram/engine/{name}.py" for name in ("pim_units", "pim_issue")}
    assert files >= engine | {"dram/rules.py", "dram/pim/program.py"}
    assert files <= engine | {f"dram/{name}.py" for name in ("rules", "pim/program", "pim/functional", "energy")}
    assert len(checker) <= 4
