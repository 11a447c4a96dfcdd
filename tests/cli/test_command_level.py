"""Command level is never replaced in silence: each row says what priced it, and asking for it by name is strict."""

import json
from collections.abc import Callable

import pytest
from command_line import Said

Lpspec = Callable[..., Said]
SMALL = ("compare", "--model", "tinyllama", "--new-tokens", "1")


def test_without_the_option_each_row_says_what_priced_it(lpspec: Lpspec) -> None:
    systems = ("--systems", "npu,attacc,rtx3090")
    said = lpspec(*SMALL, *systems, "--json", "-")
    rows = json.loads(said.out)["systems"]
    assert {row["system"]: row["fidelity"] for row in rows} == {
        "npu": "command",
        "attacc": "analytic",
        "rtx3090": "analytic",
    }
    table = lpspec(*SMALL, *systems).out.splitlines()
    ends = {line.split()[0]: line.split()[-1] for line in table if line.startswith((" npu", " attacc", " rtx3090"))}
    assert ends == {"npu": "command", "attacc": "analytic", "rtx3090": "analytic"}


@pytest.mark.parametrize("systems", [("--systems", "rtx3090"), ("--systems", "npu,attacc-spec"), ()])
def test_asked_for_by_name_it_is_refused_where_a_system_has_none(lpspec: Lpspec, systems: tuple[str, ...]) -> None:
    said = lpspec(*SMALL, *systems, "--fidelity", "command", "--json", "out.json")
    assert (said.code, said.out) == (2, "")
    assert len(said.err.splitlines()) == 1
    assert len(said.err.strip()) <= 200
    assert "no command level for " in said.err
    without = {"rtx3090": "other systems", "npu,attacc-spec": "npu alone"}.get(systems[-1] if systems else "")
    assert (
        f"to price those analytically, or name {without or 'npu, npu-spec, pim, pim-spec, lp-spec alone'}" in said.err
    )
    assert ("rtx3090" if not systems or "rtx" in systems[1] else "attacc-spec") in said.err


def test_asked_for_by_name_it_is_taken_where_every_system_has_it(lpspec: Lpspec) -> None:
    said = lpspec(*SMALL, "--systems", "npu,pim", "--fidelity", "command", "--json", "-")
    assert said.code == 0
    assert {row["fidelity"] for row in json.loads(said.out)["systems"]} == {"command"}
