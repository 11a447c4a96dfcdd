"""The house stands: imports point down only, and files stay short enough to read."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

SOURCE = Path(__file__).parent.parent / "src"

# Height of each block of the diagram in the contributor's guide. A block may import itself and lower ones;
# blocks of one height don't know each other, and whatever is higher joins them.
HEIGHT = {
    "cli": 10,
    "serve": 9,
    "report": 8,
    "explore": 7,
    "experiments": 6,
    "simulation": 5,
    "decoding": 5,
    "speculation": 4,
    "allocation": 4,
    "devices": 3,
    "dram": 2,
    "llm": 1,
    "machine": 1,
    "scenario": 0,
    "native": -1,
}
# Modules at the package's root that stand above every block, and whose content no block takes.
TOP = {"lpspec", "lpspec.__main__", "lpspec.api", "lpspec.api_explore"}
# Rooms of the memory, likewise; what lies beside them, such as lpspec.dram.rules, is data that all but the checker use.
ROOM_HEIGHT = {"pim": 3, "run": 2, "engine": 1, "check": 0}
ABOVE_ROOMS = {"lpspec.dram.platform_channel"}  # says what channel a platform has
MAX_LINES = 400
# Files allowed to be longer, each with its own bound and the reason.
LONGER_FILES: dict[str, int] = {}


class Import(NamedTuple):
    """One name that a module takes from elsewhere in lpspec."""

    module: str  # dotted name of the importing module
    line: int
    target: str  # dotted name of the imported module, or of the name inside it

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}"


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def block(dotted: str) -> str | None:
    """The block a dotted name lies in; None for what lies at the package's root, such as lpspec.errors."""
    parts = dotted.split(".")
    return parts[1] if len(parts) > 1 and (SOURCE / "lpspec" / parts[1]).is_dir() else None


def module_of(dotted: str) -> str:
    """The module at the package's root that a dotted name lies in."""
    parts = dotted.split(".")
    return ".".join(parts[:2]) if len(parts) > 1 and (SOURCE / "lpspec" / f"{parts[1]}.py").is_file() else "lpspec"


def base_of(node: ast.ImportFrom, module: str, is_package: bool) -> str:
    """The absolute module a `from ... import` names, relative ones resolved."""
    if node.level == 0:
        return node.module or ""
    package = module.split(".") if is_package else module.split(".")[:-1]
    parents = package[: len(package) - node.level + 1]
    return ".".join([*parents, node.module] if node.module else parents)


def imports_of(module: str, is_package: bool, text: str) -> Iterator[Import]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = base_of(node, module, is_package)
            targets = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for target in targets:
            if target.split(".")[0] == "lpspec":
                yield Import(module, node.lineno, target)


def all_imports() -> list[Import]:
    return [
        found
        for path in sorted(SOURCE.rglob("*.py"))
        for found in imports_of(module_name(path), path.name == "__init__.py", path.read_text("utf-8"))
    ]


def points_down(found: Import) -> bool:
    here, there = block(found.module), block(found.target)
    if found.module in TOP:
        return True
    if there is None:
        return found.target in ("lpspec", "lpspec.__version__") or module_of(found.target) not in TOP
    if here is None:
        return False
    return here == there or HEIGHT[here] > HEIGHT[there]


def test_every_folder_is_a_block_of_the_diagram() -> None:
    folders = {path.parent.name for path in (SOURCE / "lpspec").glob("*/__init__.py")}
    assert folders <= set(HEIGHT), "a new block needs its height in HEIGHT, and a place in CONTRIBUTING.md"


def test_imports_point_down_only() -> None:
    assert [str(found) for found in all_imports() if not points_down(found)] == []


def room(dotted: str) -> str | None:
    """The room of the memory a dotted name lies in; None for what lies beside the rooms."""
    parts = dotted.split(".")
    return parts[2] if parts[:2] == ["lpspec", "dram"] and len(parts) > 2 and parts[2] in ROOM_HEIGHT else None


def stays_in_its_room(found: Import) -> bool:
    """Whether an import within the memory points down; the checker takes nothing of the others, data included."""
    if block(found.module) != "dram" or block(found.target) != "dram" or found.module in ABOVE_ROOMS:
        return True
    here, there = room(found.module), room(found.target)
    if here == "check":
        return there == "check"
    if here is None:
        return there is None
    if there == "check":
        return found.module == "lpspec.dram.run.checking"  # says in the checker's terms what it is to expect
    return there is None or ROOM_HEIGHT[here] >= ROOM_HEIGHT[there]


def test_rooms_of_the_memory_are_entered_one_way() -> None:
    assert [str(found) for found in all_imports() if not stays_in_its_room(found)] == []
    rooms = {path.parent.name for path in (SOURCE / "lpspec/dram").glob("*/__init__.py")}
    assert rooms == set(ROOM_HEIGHT)


@pytest.mark.parametrize(
    ("module", "target", "allowed"),
    [
        ("lpspec.dram.pim.moves", "lpspec.dram.run.mover.move", True),
        ("lpspec.dram.run.session", "lpspec.dram.engine.phases.run_phase", True),
        ("lpspec.dram.run.mover", "lpspec.dram.pim.moves.plan_move", False),
        ("lpspec.dram.engine.loop", "lpspec.dram.run.session", False),
        ("lpspec.dram.check.bus", "lpspec.dram.rules.WINDOWS", False),
        ("lpspec.dram.pim.verify", "lpspec.dram.check.checker", False),
        ("lpspec.dram.rules", "lpspec.dram.engine.state", False),
    ],
)
def test_the_rooms_are_the_diagrams(module: str, target: str, allowed: bool) -> None:
    assert stays_in_its_room(Import(module, 1, target)) is allowed


def test_report_takes_only_data_from_below() -> None:
    """A report shows what was computed; it starts no computation, so it needs types and constants only."""
    calls = [
        str(found)
        for found in all_imports()
        if block(found.module) == "report" and block(found.target) not in (None, "report")
        if not found.target.rsplit(".", 1)[1][0].isupper()
    ]
    assert calls == []


@pytest.mark.parametrize(
    ("module", "is_package", "text", "target"),
    [
        ("lpspec.dram.bank", False, "from .timing import Timing", "lpspec.dram.timing.Timing"),
        ("lpspec.dram.bank", False, "from ..llm import Operator", "lpspec.llm.Operator"),
        ("lpspec.dram", True, "from . import bank", "lpspec.dram.bank"),
        ("lpspec.dram", True, "from ..llm.operator import Operator", "lpspec.llm.operator.Operator"),
        ("lpspec.dram.bank", False, "from lpspec import llm", "lpspec.llm"),
        ("lpspec.dram.bank", False, "def late():\n    import lpspec.llm", "lpspec.llm"),
    ],
)
def test_every_spelling_of_an_import_is_seen(module: str, is_package: bool, text: str, target: str) -> None:
    assert [found.target for found in imports_of(module, is_package, text)] == [target]


@pytest.mark.parametrize(
    ("module", "target", "allowed"),
    [
        ("lpspec.simulation.loop", "lpspec.allocation", True),
        ("lpspec.dram.bank", "lpspec.errors.InputError", True),
        ("lpspec.cli.main", "lpspec.report.table", True),
        ("lpspec.allocation.dau", "lpspec.speculation.TokenTree", False),
        ("lpspec.llm.spec", "lpspec.machine", False),
        ("lpspec.dram.bank", "lpspec.devices", False),
        ("lpspec.errors", "lpspec.llm", False),
        ("lpspec.scenario.scenario", "lpspec.errors.InputError", True),
        ("lpspec.llm.loading", "lpspec.scenario.Scenario", True),
        ("lpspec.scenario.option", "lpspec.llm", False),
        ("lpspec.api", "lpspec.report.documents.json_text", True),
        ("lpspec.experiments.compare", "lpspec.api.Comparison", False),
        ("lpspec.experiments.compare", "lpspec.compare", False),
        ("lpspec.cli.main", "lpspec.__version__", True),
    ],
)
def test_the_arrows_are_the_diagrams(module: str, target: str, allowed: bool) -> None:
    assert points_down(Import(module, 1, target)) is allowed


def test_files_stay_short() -> None:
    """Outside the compiled kernels, which are one long loop by nature, a file is read in one sitting."""
    lengths = {
        name: len(path.read_text("utf-8").splitlines())
        for path in SOURCE.rglob("*.py")
        if "kernel" not in (name := path.relative_to(SOURCE).as_posix())
    }
    too_long = {name: n for name, n in lengths.items() if n > LONGER_FILES.get(name, MAX_LINES)}
    assert too_long == {}
    assert set(LONGER_FILES) <= set(lengths), "LONGER_FILES names a file that is gone"
