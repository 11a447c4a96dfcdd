"""Arithmetic over named values, for constraints and derived values; nothing but arithmetic is run."""

import ast
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

from lpspec.errors import InputError, shown, unknown_name

Value: TypeAlias = float | int | bool | str

LONGEST_TEXT = 1000
"""Characters of an expression; nobody writes more, and a parser's depth has an end."""

DEEPEST = 100
"""Operations inside each other."""

LARGEST_WHOLE = 2**53
"""Beyond it a power is a number with a point, as a float has no more digits."""

LARGEST_RESULT = 10**300
"""A whole number beyond it is no number with a point any more."""

_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_COMPARE: dict[type, Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_UNARY: dict[type, Callable[[Any], Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "ceil": math.ceil,
    "floor": math.floor,
    "log2": math.log2,
    "max": max,
    "min": min,
    "round": round,
    "sqrt": math.sqrt,
}
_ALLOWED = "numbers, texts, names, + - * / // % **, comparisons, and, or, not, " + ", ".join(FUNCTIONS)


@dataclass(frozen=True)
class Expression:
    """Arithmetic such as ``pim.alus * memory.pim_dies <= 24``: names may have dots.

    Raises:
        InputError: It is no such arithmetic.
    """

    text: str

    def __post_init__(self) -> None:
        """Refuse what is no arithmetic before anything is computed."""
        self._check(self._tree)

    @cached_property
    def _tree(self) -> ast.expr:
        if len(self.text) > LONGEST_TEXT:
            raise InputError(f"expression '{shown(self.text, 40)}' is too long: allowed are {LONGEST_TEXT} characters")
        try:
            return ast.parse(self.text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise self._refusal("is no arithmetic") from None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every name in it, each once."""
        return tuple(dict.fromkeys(_names(self._tree)))

    def value(self, values: Mapping[str, Value]) -> Value:
        """Compute it.

        Args:
            values: By name.

        Raises:
            InputError: A name without a value, or arithmetic that has no result, such as a division by 0.
        """
        for name in self.names:
            if name not in values:
                raise unknown_name("name", name, values)
        try:
            found: Value = self._of(self._tree, values)
        except (ArithmeticError, ValueError, TypeError) as error:
            raise self._refusal(f"has no value: {error}") from None
        if isinstance(found, complex) or (isinstance(found, float) and not math.isfinite(found)):
            raise self._refusal("has no finite value")
        if isinstance(found, int) and abs(found) > LARGEST_RESULT:
            raise self._refusal(f"is beyond {LARGEST_RESULT:g}")
        return found

    def _of(self, node: ast.expr, values: Mapping[str, Value]) -> Any:
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name | ast.Attribute):
            return values[_dotted(node) or ""]
        if isinstance(node, ast.BoolOp):
            return self._first_that_decides(node, values)
        parts = [self._of(part, values) for part in _operands(node)]
        if isinstance(node, ast.BinOp):
            return self._arithmetic(type(node.op), *parts)
        if isinstance(node, ast.UnaryOp):
            return _UNARY[type(node.op)](parts[0])
        if isinstance(node, ast.Compare):
            pairs = zip(node.ops, parts, parts[1:], strict=False)
            return all(_COMPARE[type(op)](left, right) for op, left, right in pairs)
        assert isinstance(node, ast.Call)
        return FUNCTIONS[_dotted(node.func) or ""](*parts)

    def _first_that_decides(self, node: ast.BoolOp, values: Mapping[str, Value]) -> Any:
        """As Python has it: what stands behind is not computed, so that it may divide by what was found not to be 0."""
        for part in node.values:
            found = self._of(part, values)
            if bool(found) == isinstance(node.op, ast.Or):
                break
        return found

    def _arithmetic(self, kind: type, left: Any, right: Any) -> Any:
        if isinstance(left, str) or isinstance(right, str):
            raise self._refusal("computes with a text")
        if kind is not ast.Pow:
            return _BINARY[kind](left, right)
        power = float(left) ** right  # whole numbers would grow without end
        is_whole = isinstance(left, int) and isinstance(right, int) and power == round(power)
        return round(power) if is_whole and abs(power) < LARGEST_WHOLE else power

    def _check(self, node: ast.expr, depth: int = 0) -> None:
        if depth > DEEPEST:
            raise self._refusal("is nested too deep")
        if isinstance(node, ast.Constant):
            known = isinstance(node.value, int | float | str)
        elif isinstance(node, ast.Name | ast.Attribute):
            known = _dotted(node) is not None
        elif isinstance(node, ast.BinOp):
            known = type(node.op) in _BINARY
        elif isinstance(node, ast.UnaryOp):
            known = type(node.op) in _UNARY
        elif isinstance(node, ast.Compare):
            known = all(type(op) in _COMPARE for op in node.ops)
        elif isinstance(node, ast.Call):
            known = _dotted(node.func) in FUNCTIONS and not node.keywords
        else:
            known = isinstance(node, ast.BoolOp)
        if not known:
            raise self._refusal(f"may hold {_ALLOWED}")
        for part in _operands(node):
            self._check(part, depth + 1)

    def _refusal(self, why: str) -> InputError:
        return InputError(f"expression '{shown(self.text, 50)}' {why}")


def _operands(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp):
        return [node.left, node.right]
    if isinstance(node, ast.UnaryOp):
        return [node.operand]
    if isinstance(node, ast.BoolOp):
        return node.values
    if isinstance(node, ast.Compare):
        return [node.left, *node.comparators]
    return list(node.args) if isinstance(node, ast.Call) else []


def _dotted(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (start := _dotted(node.value)):
        return f"{start}.{node.attr}"
    return None


def _names(node: ast.expr) -> list[str]:
    if isinstance(node, ast.Name | ast.Attribute):
        return [_dotted(node) or ""]
    return [name for part in _operands(node) for name in _names(part)]
