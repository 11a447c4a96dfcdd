"""Statements of a compiled function: assignments, loops, branches, returns."""

import ast
from collections.abc import Callable
from typing import Any

from lpspec.native import vectors
from lpspec.native.calls import Calls
from lpspec.native.code import CompileError
from lpspec.native.expressions import Compile, length_of, unpack_known
from lpspec.native.values import (
    BOOL,
    FLOAT,
    INT,
    NOTHING,
    Array,
    Scalar,
    Tuple,
    Type,
    Value,
    annotated,
    constant,
    pack,
    parts_of,
    unpack,
)


class Function(Calls):
    """A function for arguments of some types, written line by line."""

    def __init__(self, names: dict[str, Any], callees: Compile) -> None:
        """Begin a function, given the names of its module and what compiles the functions that it calls."""
        super().__init__(names, callees)
        self.result: Type | None = None
        self._ways_out: list[tuple[str, str]] = []  # of each loop around: where continue and break lead

    def write(self, definition: ast.FunctionDef, arguments: dict[str, Type], result: Any) -> tuple[str, Type]:
        """Write all of it.

        Args:
            definition: Of the function.
            arguments: Types by name.
            result: Annotation of what it returns.

        Returns:
            Its parameters and body, and the type of what it returns.

        Raises:
            CompileError: With the line that can't be compiled.
        """
        self.result = annotated(result)
        parameters: list[str] = []
        for name, kind in arguments.items():
            parts = [(llvm, f"%a{len(parameters) + i}") for i, llvm in enumerate(parts_of(kind))]
            parameters += [f"{llvm} {register}" for llvm, register in parts]
            self.assign_name(name, Value(kind, tuple(register for _, register in parts)))
        self.block(definition.body)
        if not self.code.ended:
            self._leave(pack([]))
        text = "\n".join(["entry:", *self.code.slots, *self.code.lines])
        kind = self.result if self.result is not None else NOTHING
        return f"({', '.join(parameters)}) {{ATTRIBUTES}}{{\n{text}\n}}\n", kind

    def block(self, body: list[ast.stmt]) -> None:
        """Write statements one after the other."""
        for node in body:
            if self.code.ended:
                return
            try:
                if type(node) not in _WRITTEN:
                    raise CompileError(f"no {type(node).__name__} can be compiled")
                _WRITTEN[type(node)](self, node)
            except CompileError as error:
                if error.placed:
                    raise
                placed = CompileError(f"line {node.lineno}: {error}")
                placed.placed = True
                raise placed from None

    def _pass(self, node: ast.Pass) -> None:
        pass

    def _expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):
            self.value(node.value)

    def _assign(self, node: ast.Assign) -> None:
        value = self.value(node.value)
        for target in node.targets:
            self.assign(target, value)

    def _annassign(self, node: ast.AnnAssign) -> None:
        if node.value is None:
            raise CompileError("a variable needs a value")
        value, kind = self.value(node.value), _NAMED.get(ast.unparse(node.annotation))
        self.assign(node.target, self.code.as_type(value, kind) if kind is not None else value)

    def _augassign(self, node: ast.AugAssign) -> None:
        sign = self.sign(node.op)
        if isinstance(node.target, ast.Name):
            old = self.number(node.target)
            self.assign(node.target, self.code.compute(sign, old, self.number(node.value)))
            return
        if not isinstance(node.target, ast.Subscript):
            raise CompileError(f"{ast.unparse(node.target)} can't be changed")
        array = self.value(node.target.value)
        index = [self.index(one) for one in self.indices(node.target.slice)]
        value = self.number(node.value)
        self.code.put_element(array, index, self.code.compute(sign, self.code.element(array, index), value))

    def assign(self, target: ast.expr, value: Value) -> None:
        """Give a name, an element, a part of an array or several of these a value."""
        if isinstance(target, ast.Name):
            self.assign_name(target.id, value)
        elif isinstance(target, ast.Tuple):
            if not isinstance(value.type, Tuple) or len(value.type.items) != len(target.elts):
                raise CompileError(f"{ast.unparse(target)} is given another number of values")
            for one, item in zip(target.elts, unpack_known(value), strict=True):
                self.assign(one, item)
        elif isinstance(target, ast.Subscript):
            array = self.value(target.value)
            if not isinstance(array.type, Array):
                raise CompileError(f"{ast.unparse(target)} can't be changed")
            if any(isinstance(index, ast.Slice) for index in self.indices(target.slice)):
                row = self.part(array, target.slice)
                if vectors.is_row(row):
                    vectors.store(self.code, row, value)
                else:
                    self._fill(row, value)
                return
            index = [self.index(one) for one in self.indices(target.slice)]
            if len(index) != array.type.ndim or not isinstance(value.type, Scalar):
                raise CompileError(f"{ast.unparse(target)} is no element")
            self.code.put_element(array, index, value)
        else:
            raise CompileError(f"{ast.unparse(target)} can't be changed")

    def assign_name(self, name: str, value: Value) -> None:
        """Give a variable a value; its first one says of which type it is."""
        self.known.pop(name, None)
        kind, slots = self.variables.get(name, (None, []))
        if kind is None:
            kind, slots = value.type, [self.code.slot(part) for part in parts_of(value.type)]
            self.variables[name] = kind, slots
        if isinstance(kind, Scalar):
            value = self.code.as_type(value, kind)
        elif value.type != kind:
            raise CompileError(f"{name} is given something else than before")
        self.code.store(value, slots)

    def _fill(self, array: Value, value: Value) -> None:
        """Give all elements of an array a value."""
        assert isinstance(array.type, Array)
        count = constant(1)
        for part in array.parts[1:]:
            count = self.code.compute("*", count, length_of(part))
        flat = Value(Array(array.type.dtype, 1), (array.parts[0], count.parts[0]))
        self._count(constant(0), count, constant(1), lambda i: self.code.put_element(flat, [i], value))

    def _count(self, first: Value, end: Value, step: Value, body: Any) -> None:
        """A loop over numbers, ``body`` being given each."""
        code = self.code
        slot = code.slot("i64")
        code.store(first, [slot])
        head, inside, further, done = (code.name("l") for _ in range(4))
        code.begin(head)
        at = code.load(INT, [slot])
        more = code.compare("<" if int(step.known or 0) > 0 else ">", at, end)
        code.end(f"br i1 {more.parts[0]}, label %{inside}, label %{done}")
        code.begin(inside)
        self._ways_out.append((further, done))
        self.loops += 1
        body(at)
        self.loops -= 1
        self._ways_out.pop()
        code.begin(further)
        code.store(code.compute("+", code.load(INT, [slot]), step), [slot])
        code.end(f"br label %{head}")
        code.begin(done)

    def _for(self, node: ast.For) -> None:
        if node.orelse or not isinstance(node.target, ast.Name):
            raise CompileError("such a loop can't be compiled")
        name = node.target.id
        if isinstance(node.iter, ast.Call) and ast.unparse(node.iter.func) == "range":
            numbers = [self.code.as_type(self.number(argument), INT) for argument in node.iter.args]
            first, end, step = (
                [constant(0), *numbers, constant(1)] if len(numbers) == 1 else [*numbers, constant(1)][:3]
            )
            if not step.known:
                raise CompileError("the step of a range must be known")
            self._count(first, end, step, lambda i: self._round(name, i, node.body))
            return
        items = self.thing(node.iter)
        if isinstance(items, Value) and isinstance(items.type, Array):
            array, end = items, length_of(items.parts[1])
            self._count(
                constant(0), end, constant(1), lambda i: self._round(name, self.code.element(array, [i]), node.body)
            )
            return
        self._written_out(name, unpack_known(items), node.body)

    def _round(self, name: str, value: Value, body: list[ast.stmt]) -> None:
        self.assign_name(name, value)
        self.block(body)

    def _written_out(self, name: str, items: list[Value], body: list[ast.stmt]) -> None:
        """A loop over a tuple, once for each item: numbers that are known decide branches while compiling."""
        done = self.code.name("l")
        for item in items:
            further = self.code.name("l")
            self._ways_out.append((further, done))
            self.assign_name(name, item)
            if item.known is not None:
                self.known[name] = item
            self.block(body)
            self._ways_out.pop()
            self.code.begin(further)
        self.known.pop(name, None)
        self.code.begin(done)

    def _while(self, node: ast.While) -> None:
        if node.orelse:
            raise CompileError("such a loop can't be compiled")
        code = self.code
        head, inside, done = (code.name("w") for _ in range(3))
        code.begin(head)
        self.loops += 1
        condition = code.truth(self.number(node.test))
        code.end(f"br i1 {condition.parts[0]}, label %{inside}, label %{done}")
        code.begin(inside)
        self._ways_out.append((head, done))
        self.block(node.body)
        self._ways_out.pop()
        self.loops -= 1
        if not code.ended:
            code.end(f"br label %{head}")
        code.begin(done)

    def _break(self, node: ast.Break) -> None:
        self.code.end(f"br label %{self._ways_out[-1][1]}")

    def _continue(self, node: ast.Continue) -> None:
        self.code.end(f"br label %{self._ways_out[-1][0]}")

    def _if(self, node: ast.If) -> None:
        code = self.code
        condition = code.truth(self.number(node.test))
        if condition.known is not None:
            self.block(node.body if condition.known else node.orelse)
            return
        yes, no, done = (code.name("i") for _ in range(3))
        code.end(f"br i1 {condition.parts[0]}, label %{yes}, label %{no if node.orelse else done}")
        code.begin(yes)
        self.block(node.body)
        if not code.ended:
            code.end(f"br label %{done}")
        if node.orelse:
            code.begin(no)
            self.block(node.orelse)
            if not code.ended:
                code.end(f"br label %{done}")
        code.begin(done)

    def _return(self, node: ast.Return) -> None:
        self._leave(self.value(node.value) if node.value is not None else pack([]))

    def _leave(self, value: Value) -> None:
        """Return a value, after freeing memory."""
        if self.result is None:
            self.result = value.type
        items = self.result.items if isinstance(self.result, Tuple) else (self.result,)
        if not all(isinstance(item, Scalar) for item in items):
            raise CompileError("only numbers can be returned")
        if isinstance(self.result, Tuple):
            value = pack([self.code.as_type(item, kind) for item, kind in zip(unpack(value), items, strict=True)])
        else:
            value = self.code.as_type(value, self.result)
        for slot in self.owned:
            self.code.put(f"call void @free(ptr {self.code.get(f'load ptr, ptr {slot}')})")
        parts = parts_of(self.result)
        if not parts:
            self.code.end("ret void")
            return
        whole, built = "{ " + ", ".join(parts) + " }", "undef"
        for i, (llvm, part) in enumerate(zip(parts, value.parts, strict=True)):
            built = self.code.get(f"insertvalue {whole} {built}, {llvm} {part}, {i}")
        self.code.end(f"ret {whole} {built}")


_NAMED = {"int": INT, "float": FLOAT, "bool": BOOL}
_WRITTEN: dict[type[ast.stmt], Callable[[Function, Any], None]] = {
    ast.Pass: Function._pass,
    ast.Expr: Function._expr,
    ast.Assign: Function._assign,
    ast.AnnAssign: Function._annassign,
    ast.AugAssign: Function._augassign,
    ast.For: Function._for,
    ast.While: Function._while,
    ast.Break: Function._break,
    ast.Continue: Function._continue,
    ast.If: Function._if,
    ast.Return: Function._return,
}
