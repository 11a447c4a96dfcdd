"""The published numbers agree with each other, and each says where it stands."""

from itertools import product

import pytest

from lpspec.experiments.assumption_sets import PLAIN, all_assumption_sets
from lpspec.experiments.published import PUBLISHED
from lpspec.experiments.systems import SYSTEMS

VALUE = {published.id: published.value for published in PUBLISHED}


def test_every_quantity_of_the_issue_is_there_once() -> None:
    asked = {
        "speedup_vs_npu",
        "energy_vs_npu",
        "edp_vs_npu",
        "edp_vs_attacc",
        "edp_vs_rtx3090",
        "lp_spec_tokens_per_s",
        "lp_spec_tokens_per_j",
        "lp_spec_edp_s_mj",
        "npu_tokens_per_s",
        "npu_tokens_per_j",
        "energy_vs_pim_spec",
    }
    assert asked <= set(VALUE)
    assert len(VALUE) == len(PUBLISHED)


def test_the_abstract_is_quoted_to_the_digit() -> None:
    abstract = {p.id: p.value for p in PUBLISHED if p.source == "abstract [A]"}
    assert abstract == {
        "speedup_vs_npu": 13.21,
        "energy_vs_npu": 7.56,
        "edp_vs_npu": 99.87,
        "edp_vs_attacc": 12.83,
        "edp_vs_rtx3090": 415.31,
    }


def test_the_numbers_follow_from_each_other() -> None:
    """Within half a unit of the last printed digit."""
    assert VALUE["speedup_vs_npu"] * VALUE["energy_vs_npu"] == pytest.approx(99.87, abs=0.005)
    assert 1 / VALUE["lp_spec_tokens_per_s"] * 1e3 / VALUE["lp_spec_tokens_per_j"] == pytest.approx(0.418, abs=5e-4)
    assert VALUE["lp_spec_tokens_per_s"] / VALUE["speedup_vs_npu"] == pytest.approx(5.556, abs=5e-4)
    assert VALUE["lp_spec_tokens_per_j"] / VALUE["energy_vs_npu"] == pytest.approx(4.312, abs=5e-4)
    assert VALUE["lp_spec_edp_s_mj"] * VALUE["edp_vs_attacc"] == pytest.approx(VALUE["attacc_edp_s_mj"], abs=5e-3)
    assert VALUE["lp_spec_edp_s_mj"] * VALUE["edp_vs_rtx3090"] == pytest.approx(VALUE["rtx3090_edp_s_mj"], abs=5e-2)


def test_every_number_says_where_it_stands() -> None:
    for published in PUBLISHED:
        assert published.source.endswith(("[A]", "[P]", "[D]"))
        assert published.rival in SYSTEMS
        assert published.unit in {"x", "token/s", "token/J", "s·mJ"}


def test_assumption_sets_are_all_combinations_plain_values_first() -> None:
    assumption_sets = list(all_assumption_sets())
    assert assumption_sets[0] == PLAIN
    found = {
        (r.concurrent_ranks, r.mac_interval_ns, r.bus_efficiency, r.objective, r.root_counts) for r in assumption_sets
    }
    options = product((1, 2, 3), (5.0, 10.0), (0.7, 0.85, 1.0), ("throughput", "energy", "edp"), (True, False))
    assert found == set(options)
    assert len(assumption_sets) == len(found)
