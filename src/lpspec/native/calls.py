"""Calls in a compiled function: other compiled ones, and the few functions of Python and numpy that are known here."""

import ast
from collections.abc import Callable
from typing import Any

import numpy as np

from lpspec.native import vectors
from lpspec.native.code import CompileError
from lpspec.native.expressions import Constant, Expressions, length_of, unpack_known
from lpspec.native.values import ELEMENTS, FLOAT, INT, Array, Scalar, Tuple, Value, annotated, constant, parts_of


class Calls(Expressions):
    """Expressions with calls in them."""

    def call(self, node: ast.Call) -> Value:
        """What a call returns."""
        if node.keywords:
            raise CompileError(f"{ast.unparse(node)}: arguments by name can't be compiled")
        if isinstance(node.func, ast.Attribute):
            owner = self.thing(node.func.value)
            if isinstance(owner, Value):
                return self._method(owner, node)
        target = self.thing(node.func)
        called = target.thing if isinstance(target, Constant) else None
        if hasattr(called, "py_func") and hasattr(called, "inline"):
            return self._other(called, [self.value(argument) for argument in node.args])
        for known, written in _CALLED:
            if called is known:
                return written(self, node.args)
        raise CompileError(f"{ast.unparse(node.func)} is not compiled")

    def _other(self, called: Any, given: list[Value]) -> Value:
        if len(given) != len(called.annotations):
            raise CompileError(f"{called.py_func.__name__} takes {len(called.annotations)} arguments, not {len(given)}")
        kinds = [annotated(annotation) for annotation in called.annotations.values()]
        given = [
            self.code.as_type(value, wanted)
            if isinstance(wanted, Scalar)
            else Value(Array(value.type.dtype, value.type.ndim), value.parts)
            if isinstance(value.type, Array)
            else value
            for value, wanted in zip(given, kinds, strict=True)
        ]
        name, kind = self.callees(called, [value.type for value in given])
        text = ", ".join(
            f"{llvm} {part}" for value in given for llvm, part in zip(parts_of(value.type), value.parts, strict=True)
        )
        parts = parts_of(kind)
        if not parts:
            self.code.put(f"call void @{name}({text})")
            return Value(kind, ())
        whole = "{ " + ", ".join(parts) + " }"
        result = self.code.get(f"call {whole} @{name}({text})")
        return Value(kind, tuple(self.code.get(f"extractvalue {whole} {result}, {i}") for i in range(len(parts))))

    def _method(self, owner: Value, node: ast.Call) -> Value:
        assert isinstance(node.func, ast.Attribute)
        if isinstance(owner.type, Array) and node.func.attr == "reshape":
            lengths = [self.index(argument) for argument in node.args]
            return Value(Array(owner.type.dtype, len(lengths)), (owner.parts[0], *[n.parts[0] for n in lengths]))
        if isinstance(owner.type, Array) and node.func.attr == "copy" and not node.args:
            copied = self._memory([length_of(part) for part in owner.parts[1:]], owner.type.dtype)
            ends = f"ptr {copied.parts[0]}, ptr {owner.parts[0]}"
            self.code.put(f"call void @llvm.memcpy.p0.p0.i64({ends}, i64 {self._bytes(owner)}, i1 0)")
            return copied
        if vectors.is_row(owner) and node.func.attr in ("min", "max", "sum", "any") and not node.args:
            return vectors.reduced(self.code, node.func.attr, owner)
        raise CompileError(f"no {ast.unparse(node)} can be compiled")

    def _maximum(self, nodes: list[ast.expr]) -> Value:
        first, second = (self.value(node) for node in nodes)
        return vectors.extreme(self.code, ">", first, second)

    def _where(self, nodes: list[ast.expr]) -> Value:
        condition, first, second = (self.value(node) for node in nodes)
        return vectors.where(self.code, condition, first, second)

    def _bytes(self, array: Value) -> str:
        assert isinstance(array.type, Array)
        count = constant(ELEMENTS[array.type.dtype][1])
        for part in array.parts[1:]:
            count = self.code.compute("*", count, length_of(part))
        return count.parts[0]

    def _memory(self, lengths: list[Value], dtype: str) -> Value:
        """A new array of zeros, freed when the function returns."""
        if self.loops:
            raise CompileError("no array can be made in a loop")
        array = Value(Array(dtype, len(lengths)), ("", *[length.parts[0] for length in lengths]))
        memory = self.code.get(f"call ptr @calloc(i64 1, i64 {self._bytes(array)})")
        slot = self.code.slot("ptr")
        self.code.put(f"store ptr {memory}, ptr {slot}")
        self.owned.append(slot)
        return Value(array.type, (memory, *array.parts[1:]))

    def _zeros(self, nodes: list[ast.expr]) -> Value:
        shape = self.value(nodes[0])
        lengths = unpack_known(shape) if isinstance(shape.type, Tuple) else [shape]
        element = self.thing(nodes[1]) if len(nodes) > 1 else Constant(np.float64)
        assert isinstance(element, Constant)
        dtype = np.dtype(element.thing)
        return self._memory(lengths, f"{dtype.kind}{dtype.itemsize}")

    def _len(self, nodes: list[ast.expr]) -> Value:
        owner = self.value(nodes[0])
        if isinstance(owner.type, Array):
            return length_of(owner.parts[1])
        raise CompileError("only arrays have a length")

    def _min(self, nodes: list[ast.expr]) -> Value:
        return self.code.smallest("<", [self.number(node) for node in nodes])

    def _max(self, nodes: list[ast.expr]) -> Value:
        return self.code.smallest(">", [self.number(node) for node in nodes])

    def _abs(self, nodes: list[ast.expr]) -> Value:
        value = self.number(nodes[0])
        if value.type == FLOAT:
            return Value(FLOAT, (self.code.get(f"call double @llvm.fabs.f64(double {value.parts[0]})"),))
        return self.code.smallest(">", [value, self.code.compute("-", constant(0), value)])

    def _sqrt(self, nodes: list[ast.expr]) -> Value:
        value = self.code.as_type(self.number(nodes[0]), FLOAT)
        return Value(FLOAT, (self.code.get(f"call double @llvm.sqrt.f64(double {value.parts[0]})"),))

    def _float(self, nodes: list[ast.expr]) -> Value:
        return self.code.as_type(self.number(nodes[0]), FLOAT)

    def _bool(self, nodes: list[ast.expr]) -> Value:
        return self.code.truth(self.number(nodes[0]))

    def _int(self, nodes: list[ast.expr]) -> Value:
        value = self.number(nodes[0])
        if value.type == FLOAT:
            return Value(INT, (self.code.get(f"fptosi double {value.parts[0]} to i64"),))
        return self.code.as_type(value, INT)


_CALLED: list[tuple[Any, Callable[[Calls, list[ast.expr]], Value]]] = [
    (np.zeros, Calls._zeros),
    (np.empty, Calls._zeros),
    (np.sqrt, Calls._sqrt),
    (np.maximum, Calls._maximum),
    (np.where, Calls._where),
    (len, Calls._len),
    (min, Calls._min),
    (max, Calls._max),
    (abs, Calls._abs),
    (int, Calls._int),
    (float, Calls._float),
    (bool, Calls._bool),
]
