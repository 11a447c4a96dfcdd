"""Lines of LLVM: blocks, registers, conversions, arithmetic as Python does it, elements of arrays."""

import operator
from collections.abc import Callable

from lpspec.native.values import BOOL, ELEMENTS, FLOAT, INT, Array, Scalar, Type, Value, constant, parts_of

INT_OPERATIONS = {"+": "add", "-": "sub", "*": "mul", "<<": "shl", ">>": "ashr", "&": "and", "|": "or", "^": "xor"}
FLOAT_OPERATIONS = {"+": "fadd", "-": "fsub", "*": "fmul", "/": "fdiv"}
INT_COMPARISONS = {"==": "eq", "!=": "ne", "<": "slt", "<=": "sle", ">": "sgt", ">=": "sge"}
FLOAT_COMPARISONS = {"==": "oeq", "!=": "une", "<": "olt", "<=": "ole", ">": "ogt", ">=": "oge"}
_KNOWN: dict[str, Callable[..., bool | int | float]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "//": operator.floordiv,
    "%": operator.mod, "<<": operator.lshift, ">>": operator.rshift, "&": operator.and_, "|": operator.or_,
    "^": operator.xor, "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt,
    ">=": operator.ge,
}  # fmt: skip


class CompileError(TypeError):
    """A function says what this compiler does not know.

    Attributes:
        placed: Whether it says in which line, and of which function.
    """

    placed = False
    named = False


class Code:
    """The body of a function while it is written."""

    def __init__(self) -> None:
        """Begin with an empty entry block."""
        self.slots: list[str] = []  # memory of variables, at the head of the function
        self.lines: list[str] = []
        self.block = "entry"
        self.ended = False  # whether the block has its last line
        self._registers = 0

    def name(self, prefix: str = "t") -> str:
        """A register or a label that nobody has yet."""
        self._registers += 1
        return f"{prefix}{self._registers}"

    def put(self, line: str) -> None:
        """Write a line, unless nothing reaches it."""
        if not self.ended:
            self.lines.append(f"  {line}")

    def get(self, expression: str) -> str:
        """Write a line whose result has a register."""
        register = f"%{self.name()}"
        self.put(f"{register} = {expression}")
        return register

    def end(self, line: str) -> None:
        """Write the last line of a block."""
        self.put(line)
        self.ended = True

    def begin(self, label: str) -> None:
        """Go on with another block, into which the one before leads if it has no other end."""
        if not self.ended:
            self.lines.append(f"  br label %{label}")
        self.lines.append(f"{label}:")
        self.block = label
        self.ended = False

    def slot(self, llvm: str) -> str:
        """Memory for a part of a variable, 0 at first."""
        register = f"%{self.name('v')}"
        self.slots += [f"  {register} = alloca {llvm}", f"  store {llvm} zeroinitializer, ptr {register}"]
        return register

    def store(self, value: Value, slots: list[str]) -> None:
        """Write a value into the memory of a variable."""
        for part, llvm, slot in zip(value.parts, parts_of(value.type), slots, strict=True):
            self.put(f"store {llvm} {part}, ptr {slot}")

    def load(self, kind: Type, slots: list[str]) -> Value:
        """Read a variable."""
        parts = zip(parts_of(kind), slots, strict=True)
        return Value(kind, tuple(self.get(f"load {llvm}, ptr {slot}") for llvm, slot in parts))

    def as_type(self, value: Value, kind: Type) -> Value:
        """Convert a number, as Python would without being asked.

        Raises:
            CompileError: It would lose something.
        """
        if value.type == kind:
            return value
        if value.known is not None and kind in (INT, FLOAT) and value.type in (BOOL, INT):
            return constant(float(value.known) if kind == FLOAT else int(value.known))
        if kind == BOOL:
            return self.truth(value)
        if value.type == BOOL and kind == INT:
            return Value(INT, (self.get(f"zext i1 {value.parts[0]} to i64"),))
        if value.type in (BOOL, INT) and kind == FLOAT:
            whole = self.as_type(value, INT)
            return Value(FLOAT, (self.get(f"sitofp i64 {whole.parts[0]} to double"),))
        raise CompileError(f"{value.type} where {kind} stands")

    def truth(self, value: Value) -> Value:
        """Whether a number is not 0."""
        if value.known is not None:
            return constant(bool(value.known))
        if value.type == BOOL:
            return value
        return self.compare("!=", value, constant(0))

    def common(self, first: Value, second: Value) -> tuple[Value, Value]:
        """Two numbers as numbers of one type: float if one of them is, else int."""
        kind = FLOAT if FLOAT in (first.type, second.type) else INT
        return self.as_type(first, kind), self.as_type(second, kind)

    def compare(self, sign: str, first: Value, second: Value) -> Value:
        """Compare two numbers."""
        if first.known is not None and second.known is not None:
            return constant(_KNOWN[sign](first.known, second.known))
        one, two = self.common(first, second)
        signs = f"fcmp {FLOAT_COMPARISONS[sign]} double" if one.type == FLOAT else f"icmp {INT_COMPARISONS[sign]} i64"
        return Value(BOOL, (self.get(f"{signs} {one.parts[0]}, {two.parts[0]}"),))

    def compute(self, sign: str, first: Value, second: Value) -> Value:
        """Two numbers and one of ``+ - * / // % << >> & | ^``.

        Raises:
            CompileError: Numbers of such types have no such operation here.
        """
        if first.known is not None and second.known is not None:
            return constant(_KNOWN[sign](first.known, second.known))
        if first.type == second.type == BOOL and sign in ("&", "|", "^"):
            return Value(BOOL, (self.get(f"{INT_OPERATIONS[sign]} i1 {first.parts[0]}, {second.parts[0]}"),))
        if sign == "/":
            first, second = self.as_type(first, FLOAT), self.as_type(second, FLOAT)
        one, two = self.common(first, second)
        if sign in ("//", "%") and one.type == INT:
            return self._floored(sign, one, two)
        names = FLOAT_OPERATIONS if one.type == FLOAT else INT_OPERATIONS
        if sign not in names:
            raise CompileError(f"{sign} of {one.type.llvm if isinstance(one.type, Scalar) else one.type}")
        kind = parts_of(one.type)[0]
        return Value(one.type, (self.get(f"{names[sign]} {kind} {one.parts[0]}, {two.parts[0]}"),))

    def _floored(self, sign: str, first: Value, second: Value) -> Value:
        """Quotient or remainder of ints, rounded down as Python does."""
        known = second.known
        if isinstance(known, int) and known > 0 and known & (known - 1) == 0:
            quotient = self.compute(">>", first, constant(known.bit_length() - 1))
            return quotient if sign == "//" else self.compute("&", first, constant(known - 1))
        one, two = first.parts[0], second.parts[0]
        rest = Value(INT, (self.get(f"srem i64 {one}, {two}"),))
        signs = self.compare("<", self.compute("^", rest, second), constant(0))
        off = self.compute("&", self.compare("!=", rest, constant(0)), signs)
        if sign == "%":
            return self.select(off, self.compute("+", rest, second), rest)
        quotient = Value(INT, (self.get(f"sdiv i64 {one}, {two}"),))
        return self.compute("-", quotient, self.as_type(off, INT))

    def select(self, condition: Value, first: Value, second: Value) -> Value:
        """One of two values of a type, both already computed."""
        if condition.known is not None:
            return first if condition.known else second
        pick = f"select i1 {condition.parts[0]}"
        parts = zip(parts_of(first.type), first.parts, second.parts, strict=True)
        return Value(first.type, tuple(self.get(f"{pick}, {llvm} {a}, {llvm} {b}") for llvm, a, b in parts))

    def smallest(self, sign: str, values: list[Value]) -> Value:
        """The least (``<``) or greatest (``>``) of numbers; of equals the first, as Python has it."""
        best = values[0]
        for value in values[1:]:
            old, new = self.common(best, value)
            best = self.select(self.compare(sign, new, old), new, old)
        return best

    def address(self, array: Value, index: list[Value]) -> str:
        """Where a part of an array begins that as many indices name."""
        assert isinstance(array.type, Array)
        flat = constant(0)
        for dimension, length in enumerate(array.parts[1:]):
            if dimension < len(index):
                stretched = self.compute("*", flat, _length(length)) if dimension and flat.known != 0 else flat
                place = self.as_type(index[dimension], INT)
                flat = place if stretched.known == 0 else self.compute("+", stretched, place)
            elif flat.known != 0:
                flat = self.compute("*", flat, _length(length))
        llvm = ELEMENTS[array.type.dtype][0]
        return self.get(f"getelementptr inbounds {llvm}, ptr {array.parts[0]}, i64 {flat.parts[0]}")

    def element(self, array: Value, index: list[Value]) -> Value:
        """Read an element, or take a part of an array that fewer indices name.

        Raises:
            CompileError: There are more indices than dimensions.
        """
        assert isinstance(array.type, Array)
        if len(index) > array.type.ndim:
            raise CompileError("more indices than dimensions")
        address = self.address(array, index)
        if len(index) < array.type.ndim:
            left = array.type.ndim - len(index)
            return Value(Array(array.type.dtype, left), (address, *array.parts[-left:]))
        dtype = array.type.dtype
        llvm, size = ELEMENTS[dtype]
        read = self.get(f"load {llvm}, ptr {address}, align {size}")
        if dtype == "b1":
            return Value(BOOL, (self.get(f"trunc i8 {read} to i1"),))
        if dtype[0] == "f":
            return Value(FLOAT, (read if size == 8 else self.get(f"fpext float {read} to double"),))
        widen = "zext" if dtype[0] == "u" else "sext"
        return Value(INT, (read if size == 8 else self.get(f"{widen} {llvm} {read} to i64"),))

    def put_element(self, array: Value, index: list[Value], value: Value) -> None:
        """Write an element."""
        assert isinstance(array.type, Array)
        dtype = array.type.dtype
        llvm, size = ELEMENTS[dtype]
        if dtype == "b1":
            part = self.get(f"zext i1 {self.truth(value).parts[0]} to i8")
        elif dtype[0] == "f":
            part = self.as_type(value, FLOAT).parts[0]
            part = part if size == 8 else self.get(f"fptrunc double {part} to float")
        else:
            part = self.as_type(value, INT).parts[0]
            part = part if size == 8 else self.get(f"trunc i64 {part} to {llvm}")
        self.put(f"store {llvm} {part}, ptr {self.address(array, index)}, align {size}")


def _length(part: str) -> Value:
    """A length of an array, which may be known."""
    return constant(int(part)) if part.isdigit() else Value(INT, (part,))
