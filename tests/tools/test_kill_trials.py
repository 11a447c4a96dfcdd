"""A few of the trials that kill commands: nothing is lost, doubled or torn; and they would see it if it were."""

import random
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lpspec.explore.points import points
from lpspec.explore.store import FILE, Outcome, Store
from lpspec.explore.study_file import parse_study


@pytest.fixture(scope="module")
def tool() -> Iterator[Any]:
    folder = str(Path(__file__).parents[2] / "tools")
    sys.path.insert(0, folder)
    import kill_trials

    yield kill_trials
    sys.path.remove(folder)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sweep, one process", "sweep, two processes", "report"])
def test_killed_commands_go_on(tool: Any, tmp_path: Path, kind: str) -> None:
    (tmp_path / "study.toml").write_text(tool.STUDY)
    tally = tool.KINDS[kind][1].trials(2, tmp_path, random.Random(1))
    assert tally.kills >= 2
    assert (tally.lost, tally.doubled, tally.torn, tally.half_written) == (0, 0, 0, 0)


def test_rows_are_read_as_they_are(tool: Any, tmp_path: Path) -> None:
    """A point whose figures were changed, or that was taken out, is seen."""
    assert tool.rows_of(tmp_path) == ({}, 0)
    few = list(points(parse_study({"axes": {"workload.prompt_tokens": [1, 2, 3]}})))
    with Store(tmp_path, create=True) as store:
        for point in few:
            store.keep(point, Outcome({"tokens_per_s": 1.0}, "analytic", None, 0.1))
    whole, count = tool.rows_of(tmp_path)
    assert (len(whole), count) == (3, 3)
    file = sqlite3.connect(tmp_path / FILE)
    with file:
        file.execute("update points set metrics = '{}' where key = ?", (few[0].key,))
        file.execute("delete from points where key = ?", (few[1].key,))
    file.close()
    spoilt, count = tool.rows_of(tmp_path)
    assert count == 2
    assert whole.keys() - spoilt.keys() == {few[1].key}
    assert [key for key in spoilt if spoilt[key] != whole[key]] == [few[0].key]
