"""The study of docs/explore.md is one that can be run."""

import re
from pathlib import Path

from lpspec.explore.evaluate import METRICS
from lpspec.explore.points import points
from lpspec.explore.study_file import load_study

PAGE = Path(__file__).parents[2] / "docs" / "explore.md"


def test_the_study_of_the_page_has_the_points_it_says(tmp_path: Path) -> None:
    text = PAGE.read_text("utf-8")
    (study,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "study.toml").write_text(study)
    found = list(points(load_study(tmp_path / "study.toml")))
    assert len(found) == 4 * 3 * 3 - 3  # eight ALUs and 2,048 tokens are left out
    assert {point.values["total_alus"] for point in found} == {24, 48, 72, 96}
    assert [name for name in METRICS if f"`{name}`" not in text] == []
