"""Functions that are compiled when they are first called, each with all that it calls as one piece of native code."""

import ast
import ctypes
import functools
import inspect
import os
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np

from lpspec.arrays import IntArray
from lpspec.native.code import CompileError
from lpspec.native.objects import entry_of
from lpspec.native.statements import Function
from lpspec.native.values import FLOAT, Array, Tuple, Type, annotated, of_argument, parts_of

_Function = TypeVar("_Function", bound=Callable[..., Any])
_DECLARED = """declare double @llvm.fabs.f64(double)
declare double @llvm.sqrt.f64(double)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare ptr @calloc(i64, i64)
declare void @free(ptr)
!0 = !{}
"""
_LOCK = threading.RLock()
MANY, SMALL_BYTES, MOST_KEPT = 8, 2**18, 8
"""Of tuples of so many parts, which hold no more memory, so many are remembered with the words that they come to:
working memory is handed over again and again, and asking an array where it lies takes a microsecond."""
_KEPT: dict[int, tuple[tuple[Any, ...], bool, list[Any], Any]] = {}


def native(inline: bool = False, fixed_widths: bool = False) -> Callable[[_Function], _Function]:
    """Compile a function of numbers, arrays, and named tuples of these; ``NUMBA_DISABLE_JIT=1`` leaves it to Python.

    What Python it may be written in: assignments, ``if``, ``while``, ``for`` over ranges, arrays and tuples, numbers
    and what is computed of them, elements of arrays and parts without gaps, ``min``, ``max``, ``abs``, ``np.sqrt``,
    ``np.zeros``, constants of its module, and other functions that are compiled so. Numbers get the type that the
    annotation says. Ints are 64 bits wide and indices are not looked at: none may be beyond an array, or negative.

    Args:
        inline: Whether its instructions stand wherever it is called, for what is called from few places and often.
        fixed_widths: Whether all lengths of arrays but the first are compiled in, for what Python calls with arrays of
            the same widths every time.
    """

    def compile_when_called(function: _Function) -> _Function:
        if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
            return function
        return cast(_Function, Native(function, inline, fixed_widths))

    return compile_when_called


class Native:
    """A function that is native code when called.

    Attributes:
        py_func: The function as Python has it.
        inline: Whether it stands wherever it is called.
        text: Of its module.
    """

    def __init__(self, function: Callable[..., Any], inline: bool, fixed_widths: bool) -> None:
        """Wrap it; nothing is compiled yet."""
        functools.update_wrapper(self, function)
        self.py_func = function
        self.inline = inline
        self.text = _text_of(function.__code__.co_filename)
        self._fixed_widths = fixed_widths
        self._entries: dict[tuple[Any, ...], _Call] = {}

    @functools.cached_property
    def source(self) -> ast.FunctionDef:
        """Its definition, in the text from which it was imported."""
        return _definitions(self.text)[self.py_func.__code__.co_firstlineno]

    @functools.cached_property
    def annotations(self) -> dict[str, Any]:
        """Annotation of each parameter, in order."""
        given = self.py_func.__annotations__
        return {name: given.get(name) for name in inspect.signature(self.py_func).parameters}

    def __call__(self, *arguments: Any) -> Any:
        """Run it, after compiling it for such arguments if need be."""
        words: list[Any] = []
        copies: list[tuple[IntArray, IntArray]] = []
        key = tuple([_flatten(argument, words, copies, self._fixed_widths) for argument in arguments])
        call = self._entries.get(key)
        if call is None:
            with _LOCK:
                call = self._entries[key] = _Call(self, self._types(arguments), key)
        result = call(words)
        for given, copy in copies:
            if given.flags.writeable:
                given[...] = copy
        return result

    def _types(self, arguments: tuple[Any, ...]) -> list[Type]:
        annotations = self.annotations.values()
        if len(arguments) != len(annotations):
            raise TypeError(f"{self.py_func.__name__} takes {len(annotations)} arguments, not {len(arguments)}")
        return [annotated(a) or of_argument(given) for a, given in zip(annotations, arguments, strict=True)]


@functools.cache
def _text_of(file: str) -> str:
    """Text of a module, read when it is imported: the file may change before something of it is compiled."""
    return Path(file).read_text("utf-8")


@functools.cache
def _definitions(text: str) -> dict[int, ast.FunctionDef]:
    """Functions by their first line, decorators included."""
    found = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef))
    return {min([node.lineno, *(one.lineno for one in node.decorator_list)]): node for node in found}


def _flatten(given: Any, words: list[Any], copies: list[tuple[IntArray, IntArray]], fixed_widths: bool) -> Any:
    """Append the words of an argument, of an array with gaps those of a copy; what of it native code depends on."""
    if isinstance(given, np.ndarray):
        shape = given.shape
        if not given.flags.c_contiguous:
            copies.append((given, np.ascontiguousarray(given)))
            given = copies[-1][1]
        words.append(_address_of(given))
        words += shape
        return given.dtype.char, shape[1:] if fixed_widths else len(shape)
    if isinstance(given, tuple):
        kept = _KEPT.get(id(given))
        if kept is not None and kept[0] is given and kept[1] is fixed_widths:
            words += kept[2]
            return kept[3]
        begin, copied = len(words), len(copies)
        key = tuple([_flatten(item, words, copies, fixed_widths) for item in given])
        if len(given) >= MANY and len(copies) == copied and _bytes_of(given) <= SMALL_BYTES:
            if len(_KEPT) >= MOST_KEPT:
                _KEPT.clear()
            _KEPT[id(given)] = given, fixed_widths, words[begin:], key
        return key
    words.append(bool(given) if isinstance(given, np.bool_) else given)
    return None


def _address_of(given: Any) -> int:
    """Where an array lies, of one without elements nowhere; what numpy says of it takes several times as long."""
    if not given.nbytes:
        return 0
    if given.flags.writeable:
        return ctypes.addressof(ctypes.c_char.from_buffer(given))
    address: int = given.__array_interface__["data"][0]
    return address


def _bytes_of(given: Any) -> int:
    """Memory of the arrays of a tuple, those of tuples in it included."""
    return sum(map(_bytes_of, given)) if isinstance(given, tuple) else getattr(given, "nbytes", 0)


class _Call:
    """How one function is called with arguments of some types."""

    def __init__(self, function: Native, types: list[Type], key: Any) -> None:
        """Compile it, or find it in the folder of native code."""
        name = f"{function.__module__}.{function.py_func.__qualname__}"
        self._run, result = entry_of(
            name, repr((types, key)), function.text, lambda: Program().text(function, types, key)
        )
        letters = result.strip("()")
        parts = [part for kind in types for part in parts_of(kind)]
        self._words = struct.Struct("".join("d" if part == FLOAT.llvm else "q" for part in parts))
        self._result = struct.Struct(letters.replace("?", "q"))
        self._flags = [i for i, letter in enumerate(letters) if letter == "?"]
        self._is_tuple, self._is_nothing = result.startswith("("), not result
        size = max(self._words.size, self._result.size)
        self._buffer, self._room = ctypes.c_char * size, bytes(size - self._words.size)

    def __call__(self, words: list[Any]) -> Any:
        """Hand the words over in one buffer, into which the result comes."""
        buffer = bytearray(self._words.pack(*words) + self._room)
        self._run(self._buffer.from_buffer(buffer))
        if self._is_nothing:
            return None
        result = self._result.unpack_from(buffer)
        if self._flags:
            result = tuple([bool(one) if i in self._flags else one for i, one in enumerate(result)])
        return result if self._is_tuple else result[0]


class Program:
    """A function and all that it calls, as LLVM reads it."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._texts: list[str] = []
        self._done: dict[tuple[Native, tuple[Type, ...]], tuple[str, Type] | None] = {}

    def text(self, function: Native, types: list[Type], key: Any) -> tuple[str, str]:
        """All of it, with ``entry`` for Python, and how its result is laid out: a letter each, in brackets if several.

        Args:
            function: What Python calls.
            types: Of its arguments.
            key: What the call depends on, as ``_flatten`` says it.
        """
        name, result = self._compile(function, types)
        lines, arguments, word = [], [], 0
        for kind, widths in zip(types, key, strict=True):
            for i, llvm in enumerate(parts_of(kind)):
                width = widths[1][i - 2] if isinstance(kind, Array) and isinstance(widths[1], tuple) and i > 1 else None
                lines.append(f"  %p{word} = getelementptr i64, ptr %words, i64 {word}")
                lines.append(f"  %w{word} = load {'i64' if llvm == 'i1' else llvm}, ptr %p{word}")
                if llvm == "i1":
                    lines.append(f"  %b{word} = trunc i64 %w{word} to i1")
                register = f"%{'b' if llvm == 'i1' else 'w'}{word}"
                arguments.append(f"{llvm} {register if width is None else width}")
                word += 1
        parts = parts_of(result)
        whole = "{ " + ", ".join(parts) + " }" if parts else "void"
        lines.append(f"  {'%result = ' if parts else ''}call {whole} @{name}({', '.join(arguments)})")
        for i, llvm in enumerate(parts):
            lines.append(f"  %x{i} = extractvalue {whole} %result, {i}")
            if llvm == "i1":
                lines.append(f"  %y{i} = zext i1 %x{i} to i64")
            lines.append(f"  %q{i} = getelementptr i64, ptr %words, i64 {i}")
            lines.append(f"  store {'i64 %y' if llvm == 'i1' else llvm + ' %x'}{i}, ptr %q{i}")
        entry = "define void @entry(ptr %words) {\n" + "\n".join(lines) + "\n  ret void\n}\n"
        letters = "".join({"i64": "q", "double": "d", "i1": "?"}[part] for part in parts)
        layout = f"({letters})" if isinstance(result, Tuple) and parts else letters
        return "\n".join([_DECLARED, *self._texts, entry]), layout

    def _compile(self, function: Native, types: list[Type]) -> tuple[str, Type]:
        """The name of a function for arguments of some types, and the type of its result."""
        key = function, tuple(types)
        if key not in self._done:
            self._done[key] = None
            name = f"f{len(self._done)}_{function.py_func.__name__}"
            writer = Function(function.py_func.__globals__, self._compile)
            arguments = dict(zip(function.annotations, types, strict=True))
            try:
                body, result = writer.write(function.source, arguments, function.py_func.__annotations__.get("return"))
            except CompileError as error:
                if error.named:
                    raise
                named = CompileError(f"{function.__module__}.{function.py_func.__name__}, {error}")
                named.placed = named.named = True
                raise named from None
            parts = parts_of(result)
            returns = "{ " + ", ".join(parts) + " }" if parts else "void"
            how = "alwaysinline nounwind " if function.inline else "nounwind "
            self._texts.append(f"define internal {returns} @{name}{body.replace('{ATTRIBUTES}', how, 1)}")
            self._done[key] = name, result
        found = self._done[key]
        if found is None:
            raise CompileError("it calls itself")
        return found
