"""LP-Spec's own abbreviations are spelt out where a page or a help text first uses them."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SPELT_OUT = {
    "DTP": "draft token pruner",
    "DAU": "data allocation unit",
    "NMC": "near-data memory controller",
    "MPU": "matrix processing unit",
}


def not_spelt_out(text: str) -> list[str]:
    """Abbreviations whose first use has no words right beside it or before it."""
    plain = " ".join(re.sub(r"[|>*`]", " ", text).split())
    found = []
    for short, words in SPELT_OUT.items():
        first = re.search(rf"\b{short}s?\b", plain)
        if first and words not in plain[: first.end() + len(words) + 8].lower():
            found.append(short)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_spells_abbreviations_out_where_it_first_uses_them(page: Path) -> None:
    assert not_spelt_out(page.read_text("utf-8")) == []


def test_help_texts_spell_abbreviations_out() -> None:
    sources = sorted((ROOT / "src" / "lpspec" / "cli").glob("*.py")) + sorted(
        (ROOT / "src/lpspec/scenario").glob("*.py")
    )
    texts = {path.name: re.findall(r'"([^"\n]*)"', path.read_text("utf-8")) for path in sources}
    assert {name: short for name, lines in texts.items() if (short := not_spelt_out(" ".join(lines)))} == {}


def test_an_abbreviation_alone_is_found() -> None:
    assert not_spelt_out("The DTP (draft token pruner) and the DAU") == ["DAU"]
    assert not_spelt_out("a data allocation unit; the DAU") == []
