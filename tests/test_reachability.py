"""Nothing is forgotten: every definition is reached from a command, a name of the API, an example or a tool."""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lpspec.cli.overview import COMMANDS

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src"
USERS = ("tools", "examples")
"""Folders whose files are roads of their own."""
ROADS = (
    "lpspec",
    "lpspec.__main__",
    "lpspec.api",
    "lpspec.api_explore",
    "lpspec.cli.main",
    *(f"lpspec.cli.{name}" for name in COMMANDS),
)
"""Modules that people enter by."""
FROM_PYTHON = {"lpspec.decoding.draft_trace.load_draft_trace": "reads what lpspec record writes of draft trees"}
"""What people call from Python alone, and why it stays."""
CALLED_BY_OTHERS = {
    "Compilations.on_start": "numba's event listeners",
    "Compilations.on_end": "numba's event listeners",
    "Result._repr_html_": "notebooks",
    "_LinkedLibrary.get_pointer_to_function": "numba's code generation",
    "_LinkedLibrary._optimize_final_module": "numba's code generation",
    "_LinkedLibrary._finalize_final_module": "numba's code generation",
    "_LinkingLibrary._optimize_final_module": "numba's code generation",
    "LinkedCompiler.compile_extra": "numba's dispatchers",
    "LinkingCompiler.compile_extra": "numba's dispatchers",
}
"""Members that a library calls by their names, and which."""
OWN_DECORATORS = ("property", "cached_property", "staticmethod", "classmethod", "override")
"""Decorators that call nothing; a method under any other is called by whoever made the decorator, such as pydantic."""

Name = tuple[str, str]  # module, name at its top level; the name is empty for what a module does when it is imported


@dataclass
class Module:
    """What a module defines at its top level, and what its names mean."""

    name: str
    defined: dict[str, list[ast.AST]] = field(default_factory=dict)
    runs: list[ast.AST] = field(default_factory=list)
    imported: dict[str, str] = field(default_factory=dict)  # local name: dotted target
    everything_of: list[str] = field(default_factory=list)  # modules imported by a star


def dotted_name(path: Path) -> str:
    parts = path.relative_to(SOURCE if SOURCE in path.parents else ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Local name and dotted target of every import below a node; the project writes all of them in full."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield (alias.asname, alias.name) if alias.asname else (alias.name.split(".")[0],) * 2


def parse(name: str, text: str) -> Module:
    module = Module(name)
    tree = ast.parse(text)
    module.imported = dict(imports(tree))
    module.everything_of = [target.removesuffix(".*") for _, target in imports(tree) if target.endswith(".*")]
    for node in flat(tree.body):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            module.defined.setdefault(node.name, []).append(node)
            if any(registers(decorator, module) for decorator in node.decorator_list):
                module.runs.append(ast.Name(node.name))
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)]
            for one in names:
                module.defined.setdefault(one, []).append(node)
        elif not isinstance(node, ast.Import | ast.ImportFrom):
            module.runs.append(node)
    return module


def registers(decorator: ast.expr, module: Module) -> bool:
    """Whether a decorator hands the function to something of its module, such as a command line, on import."""
    call = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(call, ast.Attribute) and isinstance(call.value, ast.Name) and call.value.id in module.defined


def flat(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements at the top level, those under an if or a with among them."""
    for node in body:
        if isinstance(node, ast.If | ast.With | ast.Try):
            yield from flat([*node.body, *getattr(node, "orelse", [])])
        else:
            yield node


class Graph:
    """Who needs whom."""

    def __init__(self, modules: Iterable[Module]) -> None:
        self.modules = {module.name: module for module in modules}

    def resolve(self, dotted: str) -> Iterator[Name]:
        """The definition that a dotted name ends at, followed through modules that only pass it on."""
        if dotted in self.modules:
            yield dotted, ""
            return
        where, _, name = dotted.rpartition(".")
        module = self.modules.get(where)
        if module is None:
            if where:
                yield from self.resolve(where)
            return
        yield where, ""
        if name in module.defined:
            yield where, name
        elif name in module.imported and module.imported[name] != dotted:
            yield from self.resolve(module.imported[name])
        else:
            for other in module.everything_of:
                yield from self.resolve(f"{other}.{name}")

    def needs(self, name: Name) -> Iterator[Name]:
        module = self.modules[name[0]]
        nodes = module.runs if not name[1] else module.defined[name[1]]
        for node in nodes:
            for dotted in used(node, module):
                yield from self.resolve(dotted)

    def reached(self, roots: Iterable[Name]) -> set[Name]:
        seen: set[Name] = set()
        todo = list(roots)
        while todo:
            name = todo.pop()
            if name in seen or name[0] not in self.modules:
                continue
            seen.add(name)
            todo += self.needs(name)
        return seen


def used(node: ast.AST, module: Module) -> Iterator[str]:
    """Dotted names that a definition speaks of: its globals, members of modules, and names written as text."""
    for part in ast.walk(node):
        if isinstance(part, ast.Name):
            yield module.imported.get(part.id, f"{module.name}.{part.id}")
        elif isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name):
            yield f"{module.imported.get(part.value.id, part.value.id)}.{part.attr}"
        elif isinstance(part, ast.Constant) and isinstance(part.value, str):
            if part.value.startswith("lpspec."):
                yield part.value.replace(":", ".")
            elif part.value.isidentifier() and part.value in module.defined:
                yield f"{module.name}.{part.value}"  # a forward reference
    yield from (target for _, target in imports(node))


def read(*folders: Path) -> list[Module]:
    files = sorted(path for folder in folders for path in folder.rglob("*.py"))
    return [parse(dotted_name(path), path.read_text("utf-8")) for path in files]


def everything() -> tuple[Graph, set[Name]]:
    own, others = read(SOURCE), read(*(ROOT / folder for folder in USERS))
    graph = Graph([*own, *others])
    roots = [(m.name, name) for m in [*others, *(graph.modules[r] for r in ROADS)] for name in ["", *m.defined]]
    return graph, graph.reached(roots)


def test_every_definition_is_reached() -> None:
    graph, reached = everything()
    forgotten = [
        f"{module.name}.{name}"
        for module in graph.modules.values()
        for name in module.defined
        if module.name.split(".")[0] == "lpspec" and (module.name, name) not in reached
    ]
    assert [name for name in forgotten if not name.endswith("__") and name not in FROM_PYTHON] == []


def test_every_member_is_spoken_of() -> None:
    """A method, property or field is found by its name, whoever's it is."""
    trees = [ast.parse(path.read_text("utf-8")) for folder in ("src", *USERS) for path in (ROOT / folder).rglob("*.py")]
    spoken = {node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    spoken |= {node.arg for tree in trees for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg}
    spoken |= {
        word
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier()
        for word in [node.value]
    }
    spoken |= set(re.findall(r"\.(\w+)", (ROOT / "docs/api.md").read_text("utf-8")))
    unspoken = [
        f"{path.relative_to(SOURCE)}: {owner.name}.{member}"
        for path in sorted(SOURCE.rglob("*.py"))
        for owner in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(owner, ast.ClassDef)
        for member in methods(owner)
        if member not in spoken and f"{owner.name}.{member}" not in CALLED_BY_OTHERS
    ]
    assert unspoken == []


def methods(owner: ast.ClassDef) -> list[str]:
    """Names of the methods that somebody has to call by name."""
    return [
        node.name
        for node in owner.body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("__")
        if all(ast.unparse(decorator).split(".")[-1] in OWN_DECORATORS for decorator in node.decorator_list)
    ]


def test_what_nobody_calls_is_found() -> None:
    graph = Graph(
        [
            parse("a", "from b import used\nimport b\ndef road():\n    used()\n    b.other()\n"),
            parse(
                "b", "LIMIT = 3\ndef used():\n    return LIMIT\ndef other(): ...\ndef forgotten():\n    forgotten()\n"
            ),
        ]
    )
    reached = graph.reached([("a", "road")])
    assert {name for name in graph.modules["b"].defined if ("b", name) not in reached} == {"forgotten"}
