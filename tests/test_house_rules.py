"""What the house asks of every function: few parameters, few lines. Lists of those that may have more only shrink."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "lpspec"
MOST_PARAMETERS = 6
MOST_LINES = 60

Function = ast.FunctionDef | ast.AsyncFunctionDef

# Compiled kernels: numba takes arrays one by one, which keeps one signature to compile; their calls are inside loops.
KERNEL_PARAMETERS = {
    "_activate": 7,
    "_apart": 10,
    "_can_win": 7,
    "_check_burst": 8,
    "_expect_closed": 7,
    "_follow_segment": 9,
    "_hold_to_account": 7,
    "_load_input": 7,
    "_need_power": 7,
    "_pim_state": 9,
    "_plan": 9,
    "_use_inputs": 8,
    "_verify": 9,
    "attend": 8,
    "check_activation_rate": 8,
    "check_inputs": 9,
    "check_pim_rows": 8,
    "decoder_layer": 8,
    "decoder_stack": 9,
    "divide": 9,
    "fill_prices": 10,
    "learn_verified": 7,
    "need": 7,
    "replay_fixed": 8,
    "replay_pruned": 14,
    "report": 7,
    "run_phase": 8,
    "serve": 11,
    "try_division": 11,
    "write_down": 8,
}
# Compiled kernels: one loop whose state is in local variables, in sections commented by what they do.
KERNEL_LINES = {
    "_grow_anew": 62,
    "_run": 129,
    "pick_pim": 99,
    "replay_pruned": 103,
    "serve": 72,
    "try_division": 81,
}

# Not mended yet. Nothing may be added here; what has become good must go.
PARAMETERS = {
    "Generation.__init__": 8,
    "ProgramBuilder._add": 11,
    "Timeline._on_rank": 7,
    "Timeline._slices": 7,
    "_control_row": 7,
    "_emit_block": 9,
    "calibrate": 7,
    "check_options": 7,
    "command_table": 8,
    "count_wrong": 7,
    "record_drafts": 8,
    "run_channel": 7,
}
LINES: dict[str, int] = {}


def functions(text: str) -> Iterator[tuple[str, Function]]:
    """Every function of a module, with its name and those of the classes and functions around it."""

    def walk(node: ast.AST, prefix: str) -> Iterator[tuple[str, Function]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, Function):
                yield f"{prefix}{child.name}", child
            inside = f"{prefix}{child.name}." if isinstance(child, Function | ast.ClassDef) else prefix
            yield from walk(child, inside)

    return walk(ast.parse(text), "")


def parameters(function: Function) -> int:
    """How many a caller sees: without self and cls."""
    arguments = function.args
    names = [one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    own = names[:1] in (["self"], ["cls"])
    return len(names) - own + (arguments.vararg is not None) + (arguments.kwarg is not None)


def lines(function: Function) -> int:
    """From its ``def`` to its end, docstring included."""
    assert function.end_lineno is not None
    return function.end_lineno - function.lineno + 1


def is_compiled(function: Function) -> bool:
    """Whether numba or ``lpspec.native`` compiles it."""
    return any(
        word in ast.dump(decorator) for decorator in function.decorator_list for word in ("jit", "compiled", "native")
    )


def measured(measure: Callable[[Function], int], compiled: bool, most: int) -> dict[str, int]:
    """Functions over a limit, the largest of each name, by name."""
    found: dict[str, int] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        for name, function in functions(path.read_text("utf-8")):
            if is_compiled(function) is compiled and (size := measure(function)) > most:
                found[name] = max(size, found.get(name, 0))
    return found


@pytest.mark.parametrize(
    ("measure", "compiled", "most", "listed"),
    [
        (parameters, True, MOST_PARAMETERS, KERNEL_PARAMETERS),
        (parameters, False, MOST_PARAMETERS, PARAMETERS),
        (lines, True, MOST_LINES, KERNEL_LINES),
        (lines, False, MOST_LINES, LINES),
    ],
    ids=["kernel parameters", "parameters", "kernel lines", "lines"],
)
def test_functions_stay_small(
    measure: Callable[[Function], int], compiled: bool, most: int, listed: dict[str, int]
) -> None:
    found = measured(measure, compiled, most)
    assert {name: size for name, size in found.items() if size > listed.get(name, most)} == {}, "too many"
    assert {name: size for name, size in listed.items() if size > found.get(name, 0)} == {}, "listed, but smaller now"


@pytest.mark.parametrize(
    ("text", "names", "counts", "heights"),
    [
        ("def f(a, /, b, *c, d=1, **e):\n    pass", ["f"], [5], [2]),
        ("class A:\n    def f(self, a):\n        def g(): pass", ["A.f", "A.f.g"], [1, 0], [2, 1]),
        ("@x.njit\nasync def f(\n    a,\n): pass", ["f"], [1], [3]),
    ],
)
def test_functions_are_found_and_measured(text: str, names: list[str], counts: list[int], heights: list[int]) -> None:
    found = dict(functions(text))
    assert list(found) == names
    assert [parameters(function) for function in found.values()] == counts
    assert [lines(function) for function in found.values()] == heights
    assert [is_compiled(function) for function in found.values()] == ["njit" in text] * len(names)
