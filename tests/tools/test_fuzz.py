"""A small seeded part of the fuzzing, what it once found, and that it would find what it looks for."""

import contextlib
import importlib.util
import io
import json
import pickle
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lpspec.errors import InputError
from lpspec.explore.axis import read_axis
from lpspec.explore.objective import read_goals
from lpspec.explore.results import Results
from lpspec.explore.store import FILE
from lpspec.explore.study_file import load_study
from lpspec.llm.loading import load_model
from lpspec.machine.loading import load_die, load_platform, load_profile
from lpspec.report.page.results import read_result
from lpspec.scenario import Scenario
from lpspec.scenario.scenario import Workload
from lpspec.simulation.requests import load_requests
from lpspec.speculation.finding_logs import read_log
from lpspec.speculation.rank_trace import RankTrace, load_trace


@pytest.fixture(scope="module")
def tool() -> Iterator[Any]:
    folder = str(Path(__file__).parents[2] / "tools")
    sys.path.insert(0, folder)
    import fuzz

    yield fuzz
    sys.path.remove(folder)


@pytest.fixture(scope="module")
def guard(tool: Any) -> Any:
    return tool.Guard()


SLOW = ("figures", "command line")


def test_no_input_brings_about_more_than_a_line(tool: Any, guard: Any, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("starlette")
    for number, target in enumerate(tool.targets(tmp_path)):
        if not target.name.startswith(SLOW):
            folder = tmp_path / str(number)
            folder.mkdir()
            found = tool.fuzz(target, 20, 11, guard, folder)
            assert found.inputs == 20
            assert found.faults == {}, target.name


def read_code() -> None:
    eval("1 + 1")


def write_file(path: Path) -> Callable[[], object]:
    return lambda: path.write_text("x")


def long_line() -> None:
    error = InputError("x")
    error.args = ("y" * 300,)
    raise error


def test_what_it_looks_for_is_found(guard: Any, tmp_path: Path) -> None:
    assert "did exec" in guard.fault_of(read_code)[0].kind
    assert "did open" in guard.fault_of(write_file(tmp_path / "a"))[0].kind
    assert guard.fault_of(write_file(tmp_path / "a"), tmp_path) == (None, False)
    assert "300 characters" in guard.fault_of(long_line)[0].kind
    assert "ZeroDivisionError" in guard.fault_of(lambda: 1 // 0)[0].kind
    assert guard.fault_of(lambda: load_model("no model")) == (None, True)


LOOP = """
import numba

@numba.njit(cache=True)
def loop(x):
    return x + 1
"""


def loop_of(file: Path) -> Any:
    found = importlib.util.spec_from_file_location("loop_of_a_test", file)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return vars(module)["loop"]


def test_a_loop_is_loaded_by_pickle_and_an_input_is_not(guard: Any, tmp_path: Path) -> None:
    file = tmp_path / "loop.py"
    file.write_text(LOOP)
    loop_of(file)(1)  # compiled, and kept in a file
    loop = loop_of(file)
    assert guard.fault_of(lambda: loop(1)) == (None, False)
    assert len(loop.stats.cache_hits) == 1

    kept = pickle.dumps(Path("a"))
    assert "did pickle.find_class" in guard.fault_of(lambda: pickle.loads(kept))[0].kind
    again = loop_of(file)
    assert "did pickle.find_class" in guard.fault_of(lambda: (again(1), pickle.loads(kept)))[0].kind


def spin(until_s: float) -> None:
    start_s = time.process_time()
    while time.process_time() - start_s < until_s:
        pass


def test_what_takes_long_is_found_where_it_is_caught_too(guard: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from fuzzing import guard as watching

    monkeypatch.setattr(watching, "MOST_S", 0.05)

    def caught() -> None:
        with contextlib.suppress(BaseException):
            spin(60)
        spin(0.1)

    def refused_late() -> None:
        with contextlib.suppress(ValueError):
            spin(60)

    def slowly_refused(*_: object) -> str:
        spin(0.1)
        return "?"

    def fails() -> None:
        raise ZeroDivisionError

    assert "longer than" in guard.fault_of(caught)[0].kind
    assert "longer than" in guard.fault_of(refused_late)[0].kind
    monkeypatch.setattr(watching, "_place", slowly_refused)  # looking at an error is not the input's time
    assert "ZeroDivisionError" in guard.fault_of(fails)[0].kind


def member(path: Path, name: str, content: bytes) -> Path:
    """A shipped trace with one member of the archive replaced."""
    trace = RankTrace(
        np.zeros((2, 1), np.int8) - 1, np.array([1, 1], np.int32), 4, ("a", "b"), "t", "m", "measured", "d", "s"
    )
    with zipfile.ZipFile(io.BytesIO(trace.file_content())) as old, zipfile.ZipFile(path, "w") as new:
        for each in old.namelist():
            new.writestr(each, content if each == name else old.read(each))
    return path


HEADER = b"\x93NUMPY\x01\x00"


@pytest.mark.parametrize(
    "content",
    [
        b"no array at all",
        HEADER + b"\x10\x00{'descr': '|i1'\n",
        HEADER + b"\x0c\x00{'a':1,0.5:2}"[:14],
        HEADER + b"\x46\x00" + b"{'descr': '|i1', 'fortran_order': False, 'shape': (%d,), }".ljust(69) % 2**70 + b"\n",
    ],
)
def test_a_spoilt_array_is_one_line(tmp_path: Path, content: bytes) -> None:
    for name in ("ranks.npy", "metadata.npy"):
        with pytest.raises(InputError, match=r"damaged or no trace|no array|holds"):
            load_trace(member(tmp_path / "t.npz", name, content))


def test_a_trace_of_a_request_may_be_no_path_at_all(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    file.write_text(json.dumps({"arrival_s": 0, "trace": "x" * 300}))
    with pytest.raises(InputError, match="unknown trace"):
        load_requests(Workload(requests=str(file)), load_trace("vicuna-7b"))
    with pytest.raises(InputError, match="unknown model"):
        load_model("x" * 70000)


@pytest.mark.parametrize(
    "read",
    [
        lambda path: load_trace(f"{path}.npz"),
        lambda path: load_model(f"{path}.json"),
        lambda path: load_die(f"{path}.toml"),
        lambda path: load_platform("lp-spec", {"memory.die": f"{path}.toml"}),
        lambda path: load_profile(f"{path}.toml"),
        lambda path: load_study(f"{path}.toml"),
        lambda path: Scenario.load(f"{path}.toml"),
    ],
)
def test_a_path_with_a_null_is_none(read: Callable[[str], object]) -> None:
    with pytest.raises(InputError, match="it is no path") as caught:
        read("../etc/passwd\0b")
    assert "\0" not in str(caught.value)


def test_a_trace_of_a_request_may_hold_a_null(tmp_path: Path) -> None:
    file = tmp_path / "r.csv"
    file.write_text("arrival_s,trace\n0.5,../../etc/passwd\0b\n")
    with pytest.raises(InputError, match="it is no path"):
        load_requests(Workload(requests=str(file)), load_trace("vicuna-7b"))


def test_unknown_keys_and_times_without_end_of_a_die(tmp_path: Path) -> None:
    file = tmp_path / "d.toml"
    file.write_text('extends = "lp5x-pim"\nname = "d"\npim.alus.VALUE = 1\n')
    with pytest.raises(InputError, match=r"VALUE.*is not a known key"):
        load_die(str(file))
    file.write_text(
        'extends = "lpddr5-6400-8gb"\nname = "d"\ntiming.nRCD = { value = "%s ns", source = "s" }\n' % ("9" * 400)
    )
    with pytest.raises(InputError, match="nRCD"):
        load_die(str(file))


@pytest.mark.parametrize("number", ["1e308", "1e-320"])
def test_counts_of_a_log_are_counts(number: str) -> None:
    sglang = f"Decode batch. #running-req: {number}, accept len: 2.5,\n"
    vllm = (
        f'vllm:spec_decode_num_drafts_total {number}\nvllm:spec_decode_num_accepted_tokens_per_pos{{position="0"}} 5\n'
    )
    for text in (sglang, vllm):
        with pytest.raises(InputError, match="1e-9 to 1e15"):
            read_log(text, "log", 4 if text is sglang else None)


def test_numbers_without_end_in_a_study() -> None:
    for ends in ({"from": 1, "to": 10**400}, {"from": -1e308, "to": 1e308}, {"from": "1 ns", "to": f"{10**400} ns"}):
        with pytest.raises(InputError, match=r"at most 1e\+15|must be numbers"):
            read_axis("pim.alus", {**ends, "steps": 3}, None, "axis")
    with pytest.raises(InputError, match="beyond 1e"):
        read_goals(f"min:{'9' * 400}")[0].value({}, {})


def test_a_standard_is_a_text(tmp_path: Path) -> None:
    file = tmp_path / "d.toml"
    file.write_text('extends = "lpddr5-6400-8gb"\nname = "d"\nstandard = ["LPDDR5"]\n')
    with pytest.raises(InputError, match="standard"):
        load_die(str(file))


def test_a_result_whose_workload_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="model: field required"):
        read_result(json.dumps({"workload": True, "left_out": [], "trace": {}}), "result")


def test_a_damaged_store_is_one_line(tool: Any, tmp_path: Path) -> None:
    from fuzzing.seeds import small_store

    whole = bytearray(small_store(tmp_path))
    (tmp_path / "other").mkdir()
    for page in range(1, len(whole) // 4096):
        spoilt = whole[:]
        spoilt[page * 4096 : page * 4096 + 64] = b"\xff" * 64
        (tmp_path / "other" / FILE).write_bytes(spoilt)
        try:
            found = Results(tmp_path / "other")
        except InputError:
            continue
        refused = []
        try:
            list(found.rows())
        except InputError as error:
            refused.append(str(error))
        found.close()
        assert all(line.startswith("store '") for line in refused)


def test_no_letter_that_a_terminal_obeys_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_model("a\x1b[31m\x07b\u2028\x9bc")
    assert str(caught.value).startswith("unknown model 'a\\x1b[31m\\x07b \\x9bc'")
