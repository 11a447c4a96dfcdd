"""The examples run as their first lines say, and do what they claim."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import lpspec
from lpspec.allocation.allocator import ALLOCATORS
from lpspec.dram.pim.package import package_of
from lpspec.dram.pim.verify import count_wrong
from lpspec.errors import InputError
from lpspec.machine.device_kinds import DEVICES
from lpspec.machine.loading import load_die, load_platform
from lpspec.simulation.workload import PRUNERS
from lpspec.speculation.token_tree import TokenTree

EXAMPLES = Path(__file__).parents[2] / "examples"


def _rows(script: str, capsys: pytest.CaptureFixture[str]) -> dict[str, list[float]]:
    """Run a script and read the numbers of its lines, by first word."""
    runpy.run_path(str(EXAMPLES / script), run_name="__main__")
    lines = [line.replace(",", " ").split() for line in capsys.readouterr().out.splitlines()]
    return {words[0]: [float(w) for w in words[1:] if w.replace(".", "").isdigit()] for words in lines}


def test_a_pruner_of_ones_own_is_found_by_name_and_is_no_better_than_the_dtp(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(PRUNERS, "threshold", raising=False)
    rows = _rows("custom_pruner.py", capsys)
    monkeypatch.delitem(PRUNERS, "threshold")
    assert rows["threshold"][0] > rows["dtp"][0] == 4.0
    assert rows["threshold"][2] > rows["dtp"][2]


def test_an_allocator_of_ones_own_is_found_by_name_and_is_no_better_than_the_dau(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = _rows("custom_allocator.py", capsys)
    monkeypatch.delitem(ALLOCATORS, "halves")
    assert rows["halves"][0] < rows["replicated"][0]


def test_a_drafter_of_ones_own_is_found_by_name_and_leaves_the_text_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    from lpspec.decoding.drafters import DRAFTERS

    rows = _rows("custom_drafter.py", capsys)
    monkeypatch.delitem(DRAFTERS, "bigrams")
    assert rows["none"] == [199.0, 1.0]
    assert rows["bigrams"][0] < 150
    assert "the" in rows, "it says 'the same text'"


def test_a_kind_of_device_of_ones_own_runs_beside_the_shipped_ones(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (EXAMPLES / "custom_device.py").read_text("utf-8").splitlines()
    assert len(lines) < 80
    monkeypatch.setitem(DEVICES, "cpu", None)  # forgotten afterwards
    runpy.run_path(str(EXAMPLES / "custom_device.py"), run_name="__main__")
    npu, cpu = (line.split() for line in capsys.readouterr().out.splitlines())
    assert (npu[0], cpu[:2]) == ("npu-spec", ["phone-cpu", "analytic"]), "it has no command level"
    assert 0.7 < float(cpu[2]) / float(npu[2]) < 1.2, "both wait for the same package"


def test_the_tour_of_the_api_ends_where_it_began(capsys: pytest.CaptureFixture[str]) -> None:
    rows = _rows("api_tour.py", capsys)
    assert rows["lp-spec:"][0] > rows["npu-spec:"][0]
    speeds = [rows[ranks][-1] for ranks in ("3", "2", "1")]
    assert speeds == sorted(speeds, reverse=True)
    assert speeds[0] == rows["lp-spec:"][0]
    assert "again" in rows


def test_a_die_file_runs_on_every_machine_and_by_itself() -> None:
    """One file: the platform's page, its commands and a product take it; rows open in 14 ns, and 16 MPUs compute."""
    file = str(EXAMPLES / "custom_die.toml")
    die = load_die(file)
    assert (die.timing.nRCD.n, die.timing.nRC.n, die.mpus, die.data_rate.mbps) == (17, 39 + 22, 16, 9600)
    plain, own = (
        lpspec.compare(systems=["lp-spec"], new_tokens=2, changes={"memory.die": name}).runs[0]
        for name in ("lpddr5x-9600", file)
    )
    assert own.system.platform.die.timing == die.timing
    assert own.fidelity == "command"
    assert own.tokens_per_s > plain.tokens_per_s
    package = package_of(load_platform("lp-spec", {"memory.die": file}))
    assert count_wrong(package.channel, package.channels, 2, 200, 300) == 0


def test_a_platform_file_runs_beside_the_shipped_ones() -> None:
    lp_spec, own = lpspec.compare(
        systems=["lp-spec", str(EXAMPLES / "custom_platform.toml")], new_tokens=8, fidelity="analytic"
    ).runs
    assert own.system.platform.name == "lpddr5x-pim-8"
    assert own.tokens_per_s > lp_spec.tokens_per_s


def test_a_tree_larger_than_any_priced_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class TooLarge:
        def __init__(self, accuracy: NDArray[np.float64]) -> None:
            self.tree = TokenTree.from_paths([(k,) for k in range(10)] + [(k, r) for k in range(10) for r in range(10)])

        def choose(self, price: NDArray[np.float64]) -> TokenTree:
            return self.tree

        def observe(self, position: int, ranks: NDArray[np.int8], tree: TokenTree, committed: int) -> None:
            pass

    monkeypatch.setitem(PRUNERS, "too-large", TooLarge)
    with pytest.raises(InputError, match="tree of 111 tokens: allowed is 1 to 64"):
        lpspec.compare(systems=["lp-spec"], tree="too-large", new_tokens=4)
