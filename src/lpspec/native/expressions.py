"""Expressions of a compiled function: names, numbers, operations, elements and parts of arrays, calls."""

import ast
import builtins
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from lpspec.native import vectors
from lpspec.native.code import Code, CompileError
from lpspec.native.values import (
    BOOL,
    FLOAT,
    INT,
    Array,
    Scalar,
    Tuple,
    Type,
    Value,
    constant,
    pack,
    parts_of,
    unpack,
)

_SIGNS: dict[type[ast.AST], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.LShift: "<<",
    ast.RShift: ">>", ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^", ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<",
    ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
}  # fmt: skip
Compile = Callable[[Any, list[Type]], tuple[str, Type]]
"""Compiles another function for such arguments, if need be: its name, and the type of what it returns."""


class Constant:
    """Something of Python that a name stands for while compiling: a module, a function, a tuple of numbers."""

    def __init__(self, thing: Any) -> None:
        """Hold it."""
        self.thing = thing


class Expressions(ABC):
    """What a function computes, written line by line."""

    def __init__(self, names: dict[str, Any], callees: Compile) -> None:
        """Begin a function, given the names of its module and what compiles the functions that it calls."""
        self.code = Code()
        self.names = names
        self.callees = callees
        self.variables: dict[str, tuple[Type, list[str]]] = {}
        self.known: dict[str, Value] = {}  # variables of loops that are written out
        self.owned: list[str] = []  # memory that is freed at the end
        self.loops = 0

    def value(self, node: ast.expr) -> Value:
        """What an expression is.

        Raises:
            CompileError: This compiler has no such expression, or no such value.
        """
        found = self.thing(node)
        if isinstance(found, Constant):
            if isinstance(found.thing, bool | int | float | np.number):
                return constant(found.thing)  # type: ignore[arg-type]
            if isinstance(found.thing, tuple):
                return pack([constant(item) for item in found.thing])
            raise CompileError(f"{ast.unparse(node)} is no value here")
        return found

    def number(self, node: ast.expr) -> Value:
        """What an expression is, where that must be a number."""
        return self._scalar(self.value(node), node)

    def _scalar(self, value: Value, node: ast.expr) -> Value:
        if not isinstance(value.type, Scalar):
            raise CompileError(f"{ast.unparse(node)} is no number")
        return value

    def thing(self, node: ast.expr) -> Value | Constant:
        """The same, or something that is known while compiling."""
        if type(node) not in _WRITTEN:
            raise CompileError(f"no {type(node).__name__} can be compiled: {ast.unparse(node)}")
        return _WRITTEN[type(node)](self, node)

    def _constant(self, node: ast.Constant) -> Constant:
        return Constant(node.value)

    def _name(self, node: ast.Name) -> Value | Constant:
        if node.id in self.known:
            return self.known[node.id]
        if node.id in self.variables:
            kind, slots = self.variables[node.id]
            return self.code.load(kind, slots)
        if node.id in self.names:
            return Constant(self.names[node.id])
        if hasattr(builtins, node.id):
            return Constant(getattr(builtins, node.id))
        raise CompileError(f"nothing is called {node.id}")

    def _attribute(self, node: ast.Attribute) -> Value | Constant:
        owner = self.thing(node.value)
        if isinstance(owner, Constant):
            return Constant(getattr(owner.thing, node.attr))
        if isinstance(owner.type, Array) and node.attr == "shape":
            return pack([length_of(part) for part in owner.parts[1:]])
        if isinstance(owner.type, Tuple) and node.attr in owner.type.names:
            return unpack(owner)[owner.type.names.index(node.attr)]
        raise CompileError(f"{ast.unparse(node)} is not known")

    def _tuple(self, node: ast.Tuple) -> Value:
        return pack([self.value(item) for item in node.elts])

    def _binop(self, node: ast.BinOp) -> Value:
        first, second = self.value(node.left), self.value(node.right)
        if vectors.is_row(first) or vectors.is_row(second):
            return vectors.compute(self.code, self.sign(node.op), first, second)
        return self.code.compute(self.sign(node.op), self._scalar(first, node.left), self._scalar(second, node.right))

    def sign(self, node: ast.AST) -> str:
        """How an operator is written."""
        if type(node) not in _SIGNS:
            raise CompileError(f"no {type(node).__name__} can be compiled")
        return _SIGNS[type(node)]

    def _unaryop(self, node: ast.UnaryOp) -> Value:
        value = self.number(node.operand)
        if isinstance(node.op, ast.Not):
            return self.code.select(self.code.truth(value), constant(False), constant(True))
        if isinstance(node.op, ast.USub):
            if value.type == FLOAT and value.known is None:
                return Value(FLOAT, (self.code.get(f"fneg double {value.parts[0]}"),))
            if isinstance(value.known, float):
                return constant(-value.known)
            return self.code.compute("-", constant(0), value)
        if isinstance(node.op, ast.Invert) and value.type == INT:
            return self.code.compute("^", value, constant(-1))
        raise CompileError(f"no {ast.unparse(node)} can be compiled")

    def _compare(self, node: ast.Compare) -> Value:
        pairs = list(zip(node.ops, node.comparators, strict=True))
        if len(pairs) == 1 and isinstance(node.ops[0], ast.In | ast.NotIn):
            return self._is_in(node)
        first = self.value(node.left)
        if len(pairs) == 1 and vectors.is_row(first):
            return vectors.compare(self.code, self.sign(pairs[0][0]), first, self.value(pairs[0][1]))
        left = self._scalar(first, node.left)
        result = constant(True)
        for sign, comparator in pairs:  # all of them are computed: none of these expressions does anything else
            right = self.number(comparator)
            one = self.code.compare(self.sign(sign), left, right)
            result = one if result.known else self.code.select(one, result, constant(False))
            left = right
        return result

    def _is_in(self, node: ast.Compare) -> Value:
        left = self.number(node.left)
        result = constant(False)
        for item in unpack_known(self.thing(node.comparators[0])):
            one = self.code.compare("==", left, item)
            result = one if result.known is False else self.code.select(one, constant(True), result)
        if isinstance(node.ops[0], ast.NotIn):
            return self.code.select(result, constant(False), constant(True))
        return result

    def _boolop(self, node: ast.BoolOp) -> Value:
        stops = isinstance(node.op, ast.Or)  # at the first that is true, or at the first that is false
        code, slot, done = self.code, "", ""
        result = constant(not stops)
        for item in node.values:
            if slot:
                further = code.name("b")
                order = (done, further) if stops else (further, done)
                code.end(f"br i1 {result.parts[0]}, label %{order[0]}, label %{order[1]}")
                code.begin(further)
            result = code.truth(self.number(item))
            if result.known is not None and bool(result.known) == stops and not slot:
                return constant(stops)
            if result.known is not None and bool(result.known) != stops and not slot:
                continue
            slot, done = slot or code.slot("i1"), done or code.name("b")
            code.store(result, [slot])
        if not slot:
            return result
        code.begin(done)
        return code.load(BOOL, [slot])

    def _ifexp(self, node: ast.IfExp) -> Value:
        """One of two values: LLVM is told that nobody foresees which, so that it computes both rather than branch."""
        code = self.code
        condition = code.truth(self.number(node.test))
        if condition.known is not None:
            return self.value(node.body if condition.known else node.orelse)
        labels = [code.name("i") for _ in range(3)]
        code.end(f"br i1 {condition.parts[0]}, label %{labels[0]}, label %{labels[1]}, !unpredictable !0")
        ways, written = list[Value](), list[list[str]]()
        for label, branch in zip(labels, (node.body, node.orelse), strict=False):
            before, code.lines = code.lines, []
            code.begin(label)
            ways.append(self.value(branch))
            written.append(code.lines)
            code.lines, code.ended = before, True
        kind = ways[0].type if ways[0].type == ways[1].type else FLOAT if FLOAT in (w.type for w in ways) else INT
        slots = [code.slot(part) for part in parts_of(kind)]
        for lines, way in zip(written, ways, strict=True):
            code.lines += lines
            code.ended = False
            code.store(code.as_type(way, kind) if isinstance(kind, Scalar) else way, slots)
            code.end(f"br label %{labels[2]}")
        code.begin(labels[2])
        return code.load(kind, slots)

    def _subscript(self, node: ast.Subscript) -> Value:
        owner = self.value(node.value)
        if isinstance(owner.type, Tuple):
            place = self.number(node.slice).known
            if not isinstance(place, int):
                raise CompileError(f"{ast.unparse(node)}: which item is not known")
            return unpack(owner)[place]
        return self.part(owner, node.slice)

    def indices(self, node: ast.expr) -> list[ast.expr]:
        """Indices one by one."""
        return node.elts if isinstance(node, ast.Tuple) else [node]

    def part(self, array: Value, node: ast.expr) -> Value:
        """An element, or a part whose elements still follow one another: numbers first, then one slice at most."""
        indices = self.indices(node)
        if not isinstance(array.type, Array):
            raise CompileError("only arrays and tuples have elements")
        if not isinstance(indices[-1], ast.Slice):
            return self.code.element(array, [self.index(index) for index in indices])
        if any(isinstance(index, ast.Slice) for index in indices[:-1]) or indices[-1].step is not None:
            raise CompileError(f"{ast.unparse(node)} leaves gaps between elements")
        inner = self.code.element(array, [self.index(index) for index in indices[:-1]]) if indices[1:] else array
        if not isinstance(inner.type, Array):
            raise CompileError(f"{ast.unparse(node)} has more indices than dimensions")
        cut = indices[-1]
        known = self._known_length(cut)
        if known is not None:
            place = self.index(cut.lower) if cut.lower else constant(0)
            row = Array(inner.type.dtype, inner.type.ndim, known)
            return Value(row, (self.code.address(inner, [place]), str(known), *inner.parts[2:]))
        length = length_of(inner.parts[1])
        begin = self._within(cut.lower, length) if cut.lower else constant(0)
        end = self._within(cut.upper, length) if cut.upper else length
        first = self.code.address(inner, [begin])
        left = self.code.smallest(">", [constant(0), self.code.compute("-", end, begin)])
        return Value(Array(inner.type.dtype, inner.type.ndim), (first, left.parts[0], *inner.parts[2:]))

    def _known_length(self, cut: ast.Slice) -> int | None:
        """How long a slice is, where its text says so; such a slice must lie within the array."""
        upper = cut.upper
        if cut.lower is not None and isinstance(upper, ast.BinOp) and isinstance(upper.op, ast.Add):
            length = self.thing(upper.right)
            if ast.dump(upper.left) == ast.dump(cut.lower) and isinstance(length, Constant):
                return int(length.thing)
        upper_thing = self.thing(upper) if isinstance(upper, ast.Name | ast.Constant) else None
        if cut.lower is None and isinstance(upper_thing, Constant):
            return int(upper_thing.thing)
        return None

    def index(self, node: ast.expr) -> Value:
        """An index."""
        index = self.number(node)
        if (index.known is not None and index.known < 0) or index.type == FLOAT:
            raise CompileError(f"index {ast.unparse(node)}: only whole numbers from 0 on")
        return index

    def _within(self, node: ast.expr, length: Value) -> Value:
        """A bound of a slice, not beyond the end."""
        return self.code.smallest("<", [length, self.index(node)])

    @abstractmethod
    def call(self, node: ast.Call) -> Value:
        """What a call returns."""

    def _call(self, node: ast.Call) -> Value:
        return self.call(node)


_WRITTEN: dict[type[ast.expr], Callable[[Expressions, Any], Value | Constant]] = {
    ast.Constant: Expressions._constant,
    ast.Name: Expressions._name,
    ast.Attribute: Expressions._attribute,
    ast.Tuple: Expressions._tuple,
    ast.BinOp: Expressions._binop,
    ast.UnaryOp: Expressions._unaryop,
    ast.Compare: Expressions._compare,
    ast.BoolOp: Expressions._boolop,
    ast.IfExp: Expressions._ifexp,
    ast.Subscript: Expressions._subscript,
    ast.Call: Expressions._call,
}


def unpack_known(found: Value | Constant) -> list[Value]:
    """Items of a tuple, numbers that are known among them as such."""
    if isinstance(found, Constant):
        return [constant(item) for item in found.thing]
    return [
        constant(int(item.parts[0])) if item.type == INT and item.parts[0].lstrip("-").isdigit() else item
        for item in unpack(found)
    ]


def length_of(part: str) -> Value:
    """A length of an array, which may be known."""
    return constant(int(part)) if part.isdigit() else Value(INT, (part,))
