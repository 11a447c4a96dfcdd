"""PIM commands beside their limits: modes, inputs that come and go, and how many ranks compute."""

from dataclasses import replace

import pytest
from rules_by_hand import ALWAYS, FREE_INPUTS, PIM_OPEN, TWO_STEPS, check
from written_streams import table

from lpspec.dram.check.checker import (
    PimRules,
    check_commands,
)
from lpspec.errors import InputError


@pytest.mark.parametrize(
    "text", ["0 PIM_ENTER m2 | 80 PIM_ACT m2 p0 R5", "0 PIM_ENTER m2 | 80 PIM_EXIT m2", "0 PIM_ENTER m2 | 80 PREAB r1"]
)
def test_a_rank_half_way_into_pim_mode_takes_nothing_but_the_next_step(text: str) -> None:
    assert set(check(text, options=TWO_STEPS).counts) == {"mode"}
    assert check("0 PIM_ENTER m2 | 80 PIM_ENTER m2 | 160 PIM_EXIT m2", options=TWO_STEPS).legal
    three = check("0 PIM_ENTER m2 | 80 PIM_ENTER m2 | 160 PIM_ENTER m2", options=TWO_STEPS)
    assert set(three.counts) == {"mode"}


def test_a_set_has_landed_whole_before_its_first_mac() -> None:
    """The burst of 113 is on DQ from 113 + WL 9 to 124: it is not there at 123, for whichever MAC it is."""
    text = PIM_OPEN + "100 PIM_IN m2 c0 | 113 PIM_IN m2 c1 | {} PIM_MAC m2 p0 s0 c0"
    assert check(text.format(123)).counts == {"input_overwrite": 1}
    assert check(text.format(124)).legal


@pytest.mark.parametrize(("nFAW", "last"), [(16, 28), (15, 28), (17, 29)])
def test_activations_inside_pim_act_keep_nrrd_and_nfaw(nFAW: int, last: int) -> None:
    """Eight of them: a window that is shorter than four nRRD doesn't bring the fifth nearer to the fourth."""
    options = replace(FREE_INPUTS, timing=ALWAYS.timing._replace(nFAW=nFAW))
    act = "0 PIM_ENTER m2 | 80 PIM_ACT m2 p0 R5 | @ PIM_MAC m2 p0 c0"
    assert check(act, 80 + last + 15, options).violations == []
    assert check(act, 80 + last + 14, options).counts == {"nRCD": 1}


def test_inputs_that_never_came_are_missed() -> None:
    assert check(PIM_OPEN + "130 PIM_MAC m2 p0 c0").counts == {"input_ready": 1}
    # Broadcast reaches the ranks of its mask only: rank 2 has nothing.
    text = "0 PIM_ENTER m6 | 80 PIM_ACT m6 p0 R5 | 90 PIM_IN m2 c0 | 130 PIM_MAC m6 p0 c0 | 134 PIM_MAC m6 p0 c16"
    assert check(text).counts == {"input_ready": 1}


@pytest.mark.parametrize(("mask", "ranks"), [(2, 1), (6, 2)])
def test_the_power_budget_allows_so_many_ranks(mask: int, ranks: int) -> None:
    text = f"0 PIM_ENTER m6 | 80 PIM_ACT m6 p0 R5 | 123 PIM_MAC m{mask} p0 c0"
    for most in (1, 2):
        options = replace(ALWAYS, pim=PimRules(inputs=False, concurrent_ranks=most))
        assert check(text, options=options).counts == ({"concurrent_ranks": 1} if ranks > most else {})


def test_a_set_that_another_command_names_is_not_read() -> None:
    """Slot 0 is k 0..7 of set 0, slot 8 of set 1; without a name either may be meant."""
    load = PIM_OPEN + "100 PIM_IN m2 c8 | "
    assert check(load + "130 PIM_MAC m2 p0 s1 c0").legal
    assert check(load + "130 PIM_MAC m2 p0 c0").legal
    assert check(load + "130 PIM_MAC m2 p0 s0 c0").counts == {"input_ready": 1}


def test_a_segment_without_a_name_needs_what_it_has_used() -> None:
    text = PIM_OPEN + "100 PIM_IN m2 c0 | 123 PIM_MAC m2 p0 {0}c0 | 127 PIM_IN m2 c7 | 140 PIM_MAC m2 p0 {0}c16"
    assert check(text.format("")).legal
    assert check(text.format("s1 ").replace("m2 c0", "m2 c8").replace("m2 c7", "m2 c15")).counts == {
        "input_overwrite": 1
    }
    assert check(text.format("s1 ").replace("m2 c0", "m2 c8")).legal, "slot 7 is of the other set"


@pytest.mark.parametrize("inputs", [-2, 2])
def test_there_are_two_sets(inputs: int) -> None:
    mac = table(PIM_OPEN + "130 PIM_MAC m2 p0 c0")
    mac.bank_group[-1] = inputs
    with pytest.raises(InputError, match=rf"command 2: bank_group must be 0..1, or empty, for PIM_MAC, is {inputs}"):
        check_commands(mac, ALWAYS)


def test_the_other_set_fills_while_one_is_read() -> None:
    """Set 0 feeds the even row while set 1 (slots 8..15) is loaded; then the odd row reads set 1 and set 0 refills."""
    load_0 = "| ".join(f"{90 + 2 * j} PIM_IN m2 c{j} " for j in range(8))
    load_1 = "| ".join(f"{128 + 2 * j + 1} PIM_IN m2 c{8 + j} " for j in range(8))
    even = "| ".join(f"{124 + 4 * k} PIM_MAC m2 p0 c{16 * k} " for k in range(64))
    odd = "| ".join(f"{380 + 4 * k} PIM_MAC m2 p1 c{16 * k} " for k in range(64))
    again = "| ".join(f"{381 + 4 * j} PIM_IN m2 c{j} " for j in range(8))
    commands = [*PIM_OPEN.split("|"), "112 PIM_ACT m2 p1 R9", *"|".join((load_0, load_1, even, odd, again)).split("|")]
    ordered = sorted((c.strip() for c in commands if c.strip()), key=lambda command: int(command.split()[0]))
    assert check("|".join(ordered)).violations == []
    spoilt = [command.replace("c8", "c0") if "PIM_IN" in command else command for command in ordered]
    counts = check("|".join(spoilt)).counts
    assert counts["input_overwrite"] >= 1
