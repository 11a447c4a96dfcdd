"""Short request lists against CKs computed by hand from the timings of LPDDR5-6400, 8 Gb (no refresh)."""

from typing import Any

import pytest
from engine_help import read as rd
from engine_help import serve, spelt
from engine_help import write as wr


def test_one_cold_read() -> None:
    # ACT-1 0, ACT-2 1, RD 1 + nRCD 15 = 16, data 16 + RL 17 .. + 2 = 35. CAS somewhere before costs nothing.
    run = serve(rd(0))
    assert spelt(run) == [(0, "ACT1"), (1, "ACT2"), (8, "CAS"), (16, "RD")]
    assert (run.total_ck, run.row_hits, run.row_misses, run.row_conflicts) == (35, 0, 1, 0)


def test_one_cold_write() -> None:
    # WR 1 + nRCD 15 = 16, data 16 + WL 9 .. + 2 = 27
    run = serve(wr(0))
    assert spelt(run) == [(0, "ACT1"), (1, "ACT2"), (8, "CAS"), (16, "WR")]
    assert run.total_ck == 27


def test_hits_of_one_bank_follow_each_other_by_nccd_l() -> None:
    # RD 16, 20, 24 (nCCD_L 4); data of the last ends 24 + 17 + 2 = 43
    run = serve(rd(0, column=0), rd(0, column=16), rd(0, column=32))
    assert spelt(run)[3:] == [(16, "RD"), (20, "RD"), (24, "RD")]
    assert (run.total_ck, run.row_hits, run.row_misses) == (43, 2, 1)


def test_row_conflict_between_reads() -> None:
    # First: RD 16. PRE at ACT-2 1 + nRAS 34 = 35 (RD 16 + nRTP 8 = 24 is earlier). ACT-1 35 + nRPpb 15 = 50, ACT-2 51,
    # RD 66, data ends 66 + 19 = 85. WCK stopped at 16 + 17 + 2 + 1 = 36, so a second CAS comes before.
    run = serve(rd(0, row=5), rd(17, row=6))
    expected = [(0, "ACT1"), (1, "ACT2"), (8, "CAS"), (16, "RD"), (35, "PRE")]
    assert spelt(run) == [*expected, (50, "ACT1"), (51, "ACT2"), (58, "CAS"), (66, "RD")]
    assert (run.total_ck, run.row_misses, run.row_conflicts) == (85, 1, 1)


@pytest.mark.parametrize(
    ("way", "name", "other", "again"), [(rd, "RD", rd, 50), (rd, "RD", wr, 50), (wr, "WR", wr, 74)]
)
def test_the_last_access_to_a_row_closes_it_where_another_row_is_wanted(
    way: Any, name: str, other: Any, again: int
) -> None:
    # Two accesses, 16 and 20. The row closes by itself when PRE could go: at 35 behind reads; the second write ends at
    # 20 + WL 9 + BL 2, and nWR 28 later the row closes, at 59. ACT-1 nRPpb 15 later. A request that comes when the last
    # access has gone finds the row open, and sends PRE.
    row = [way(0, row=5), way(0, row=5, column=16)]
    run = serve(*row, other(19, row=6))
    assert [c for c in spelt(run) if c[1] not in ("ACT2", "CAS")][:4] == [
        *[(0, "ACT1"), (16, name), (20, f"{name}A"), (again, "ACT1")],
    ]
    late = serve(*row, other(21, row=6))
    assert [c for c in spelt(late) if c[1] not in ("ACT2", "CAS")][:5] == [
        *[(0, "ACT1"), (16, name), (20, name), (again - 15, "PRE"), (again, "ACT1")],
    ]
    assert run.total_ck == late.total_ck


def test_a_row_that_the_other_direction_wants_stays_open() -> None:
    run = serve(rd(0, row=5), wr(0, row=5, column=16), wr(0, row=6))
    assert [c for c in spelt(run) if c[1] not in ("ACT2", "CAS")][:3] == [(0, "ACT1"), (16, "RD"), (30, "WRA")]


def test_row_conflict_after_a_write() -> None:
    # WR 16; PRE at 16 + WL 9 + BL 2 + nWR 28 = 55; ACT-1 70, ACT-2 71, WR 86, data ends 86 + 11 = 97
    run = serve(wr(0, row=5), wr(17, row=6))
    assert [c for c in spelt(run) if c[1] in ("PRE", "WR")] == [(16, "WR"), (55, "PRE"), (86, "WR")]
    assert run.total_ck == 97


def test_two_banks_open_nrrd_apart() -> None:
    # ACT-1 0 and 0 + nRRD 4; ACT-2 1 and 5; RD 16 and 20
    run = serve(rd(0, bank_group=0), rd(0, bank_group=1))
    expected = [(0, "ACT1"), (1, "ACT2"), (4, "ACT1"), (5, "ACT2"), (8, "CAS"), (16, "RD"), (20, "RD")]
    assert spelt(run) == expected


def test_the_only_slot_for_a_cas_goes_to_it() -> None:
    # RD 16: WCK runs until 16 + 17 + 2 + 1 = 36, so the CAS for RD 23 + nRCD 15 = 38 has 37 alone. A row wanted at 37
    # waits until both have gone.
    run = serve(rd(0), rd(22, bank_group=1), rd(37, bank_group=2))
    expected = [(22, "ACT1"), (23, "ACT2"), (37, "CAS"), (38, "RD"), (39, "ACT1"), (40, "ACT2"), (55, "RD")]
    assert spelt(run)[4:] == expected


def test_hit_overtakes_an_older_conflict_and_nothing_is_lost() -> None:
    # FR-FCFS: the third request finds row 5 open and goes at 20, before the second, which has row 6 opened:
    # it closes at 35, ACT-1 50, ACT-2 51, RD 66
    run = serve(rd(0, row=5), rd(0, row=6), rd(0, row=5, column=16))
    assert [c for c in spelt(run) if c[1] in ("RD", "RDA")] == [(16, "RD"), (20, "RDA"), (66, "RD")]
    assert run.served_at.tolist() == [35, 85, 39]


def test_read_after_write_to_the_same_address_comes_after_it() -> None:
    # The write goes first though reads have precedence: WR 16, then RD 16 + WL 9 + BL/n_max 4 + nWTR_L 10 = 39
    run = serve(wr(0, row=5), rd(0, row=5))
    assert [c for c in spelt(run) if c[1] in ("RD", "WR")] == [(16, "WR"), (39, "RD")]


def test_write_after_read_of_the_same_address_comes_after_it() -> None:
    # RD 16, WR 16 + RL 17 + BL/n_max 4 + 2 - WL 9 = 30
    run = serve(rd(0, row=5), wr(0, row=5))
    assert [c for c in spelt(run) if c[1] in ("RD", "WR")] == [(16, "RD"), (30, "WR")]


def test_two_ranks_share_dq() -> None:
    # Rank 1's ACT-1 takes the next free slots, 2 and 3, so its RD could go at 18; the first RD at 16 puts DQ's
    # next burst of another rank at 16 + BL 2 + gap 2 = 20
    run = serve(rd(0, rank=0), rd(0, rank=1), ranks=2)
    assert [c for c in spelt(run) if c[1] != "CAS"] == [
        *[(0, "ACT1"), (1, "ACT2"), (2, "ACT1"), (3, "ACT2")],
        *[(16, "RD"), (20, "RD")],
    ]


def test_all_bank_refresh_closes_waits_and_reopens() -> None:
    # Due at 3125: PREAB 3125, REFAB + nRPab 17 = 3142, ACT-1 + nRFCab 168 = 3310, ACT-2 3311, RD 3326
    run = serve(rd(0), rd(3125), refresh="all-bank")
    assert [c for c in spelt(run)[4:] if c[1] != "CAS"] == [
        *[(3125, "PREAB"), (3142, "REFAB")],
        *[(3310, "ACT1"), (3311, "ACT2"), (3326, "RD")],
    ]


def test_per_bank_refresh_leaves_other_banks_alone() -> None:
    # The first pair, banks 0 and 8, is due at floor(3125 / 8) = 390, idle and closed. Bank 0's ACT-1 waits for
    # nRFCpb: 390 + 96 = 486. Bank 1 (same rank) only for nPBR2ACT: 390 + 6 = 396.
    busy = serve(rd(391, bank_group=0, bank=0), refresh="per-bank")
    assert spelt(busy)[:2] == [(390, "REFPB"), (486, "ACT1")]
    partner = serve(rd(391, bank_group=2, bank=0), refresh="per-bank")
    assert spelt(partner)[:2] == [(390, "REFPB"), (486, "ACT1")]
    other = serve(rd(391, bank_group=0, bank=1), refresh="per-bank")
    assert spelt(other)[:2] == [(390, "REFPB"), (396, "ACT1")]


def test_closed_page_precharges_with_the_last_access() -> None:
    # RDA 16: the precharge starts by itself at max(1 + nRAS 34, 16 + nRTP 8) = 35, so ACT-1 at 50 and no PRE, whether
    # the other row is wanted then or not
    run = serve(rd(0, row=5), rd(17, row=6), page="closed")
    assert [c for c in spelt(run) if c[1] != "CAS"] == [
        *[(0, "ACT1"), (1, "ACT2"), (16, "RDA")],
        *[(50, "ACT1"), (51, "ACT2"), (66, "RDA")],
    ]


@pytest.mark.parametrize("patience", [64, 256])
def test_a_read_behind_a_write_to_its_address_waits_no_longer_than_patience(patience: int) -> None:
    """Reads of another bank keep DQ busy all the while; without patience the write would go when they have ended."""
    others = [rd(2 * i, 1 + i % 3, row=5, column=i // 3 % 64 * 16) for i in range(400)]
    run = serve(wr(0, 0, row=1), rd(0, 0, row=1), *others, patience=patience)
    assert patience < run.served_at[1] < patience + 150
    assert run.served_at.max() > 700


@pytest.mark.parametrize("high", [4, 12])
@pytest.mark.parametrize("low", [0, 3])
def test_a_drain_goes_from_one_mark_to_the_other(high: int, low: int) -> None:
    """Writes wait while reads come, go when ``drain_high`` of them are queued, and stop at ``drain_low``."""
    reads = [rd(0, i % 4, row=1, column=i // 4 * 16) for i in range(24)]
    writes = [wr(0, i % 4, row=1, column=(20 + i // 4) * 16) for i in range(high)]
    run = serve(*sorted([*reads, *writes], key=lambda q: q.is_write), drain_high=high, drain_low=low)
    order = [name for _, name in spelt(run) if name in ("RD", "WR")]
    first = order.index("WR")
    drained = next((i for i, name in enumerate(order[first:]) if name == "RD"), None)
    assert drained == high - low


@pytest.mark.parametrize(("ranks", "order"), [(2, ["RD", "ACT2"]), (6, ["RD", "ACT2"]), (7, ["ACT2", "RD"])])
def test_act2_goes_before_a_read_from_a_slot_for_each_rank_before_its_deadline(ranks: int, order: list[str]) -> None:
    # ACT-1 of rank 1 at 15; at 16 = 1 + nRCD 15 rank 0 may read, too. The deadline is 15 + nAAD 8 = 23, which two ranks
    # make urgent from 21 on, so the read goes first, as with six from 17 on; seven from 16 on.
    run = serve(rd(0), rd(0, column=16), rd(15, rank=1), ranks=ranks)
    assert spelt(run)[3:6] == [(15, "ACT1"), (16, order[0]), (17, order[1])]
    assert (run.row_hits, run.row_misses) == (1, 2)  # what opens a row, with the ACT-2 at once or later, is a miss
