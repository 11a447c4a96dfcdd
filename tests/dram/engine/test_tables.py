"""Windows, spans and geometry come from the tables that hold them: a change there is a change in the engine."""

from dataclasses import replace

import numpy as np
import pytest
from engine_help import DIE

from lpspec.dram import rules
from lpspec.dram.engine import state
from lpspec.dram.run.controller import Controller, channel_of
from lpspec.dram.run.simulate import Request, request_array
from lpspec.errors import InputError

GIVEN = {
    "ACT2_after_ACT1": state.P_NAAD,
    "WCK_after_burst": state.P_WCKPST,
    "WCK_after_CAS": state.P_WCKIDLE,
    "refresh_interval": state.P_NREFI,
}


def given() -> list[int]:
    return [int(value) for value in channel_of(DIE, Controller())[state.GIVEN]]


def test_every_span_has_its_place_in_the_engine() -> None:
    assert set(GIVEN) == {span.name for span in rules.SPANS}


@pytest.mark.parametrize("name", GIVEN)
def test_a_span_of_the_table_is_the_engines(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = given()
    longer = [replace(s, length=f"{s.length} + 3") if s.name == name else s for s in rules.SPANS]
    monkeypatch.setattr(rules, "SPANS", tuple(longer))
    changed = [i for i, (old, new) in enumerate(zip(before, given(), strict=True)) if old != new]
    assert changed == [GIVEN[name]]
    assert given()[GIVEN[name]] == before[GIVEN[name]] + 3


@pytest.mark.parametrize(("command", "place"), [("ACT1", state.P_NFAW_ACT1), ("ACT2", state.P_NFAW_ACT2)])
def test_a_window_of_the_table_is_the_engines(command: str, place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    before = given()
    wider = [replace(w, length="2 * nFAW") if w.command == command else w for w in rules.WINDOWS]
    monkeypatch.setattr(rules, "WINDOWS", tuple(wider))
    changed = [i for i, (old, new) in enumerate(zip(before, given(), strict=True)) if old != new]
    assert changed == [place]
    assert given()[place] == 2 * DIE.timing.nFAW.n


def test_a_die_with_other_banks_is_refused() -> None:
    groups = DIE.organisation.bank_groups.model_copy(update={"value": 8})
    other = DIE.model_copy(update={"organisation": DIE.organisation.model_copy(update={"bank_groups": groups})})
    with pytest.raises(InputError, match=r"has 8 x 4 banks: the engine is compiled for \(4, 4\)"):
        channel_of(other, Controller())


def test_places_of_requests_are_the_dies() -> None:
    last = Request(5, True, 1, 3, 2, DIE.organisation.rows.n - 1, (DIE.organisation.columns - 1) * state.BEATS)
    table = request_array([last], DIE, 2)
    assert np.array_equal(table, [[5, 1, 16 + 3 * 4 + 2, 32767, 1008]])


@pytest.mark.parametrize(("place", "name"), list(enumerate(["at", "op", "rank", "row", "column"])))
@pytest.mark.parametrize("value", [-1, -(1 << 63), (1 << 63) - 1, (1 << 50) + 1])
def test_a_field_beyond_its_limits_is_refused_wherever_it_stands(place: int, name: str, value: int) -> None:
    for line in range(3):
        table = np.zeros((3, 5), np.int64)
        table[line, place] = value
        with pytest.raises(InputError, match=rf"^request {line + 1}: {name} is "):
            request_array(table, DIE, 2)


@pytest.mark.parametrize(("place", "value", "message"), [(4, 8, "multiples of 16"), (0, 5, "before the request above")])
def test_columns_begin_and_requests_follow_one_another(place: int, value: int, message: str) -> None:
    table = np.zeros((3, 5), np.int64)
    table[1, place] = value
    with pytest.raises(InputError, match=message):
        request_array(table, DIE, 2)
