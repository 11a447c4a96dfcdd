"""Compiled inner loops, and the folder where numba keeps them between runs."""

import atexit
import functools
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import lpspec

PACKAGE = Path(lpspec.__file__).parent
DECORATOR = b"@cached_njit("
NATIVE = "native"
heard: list[Callable[[], None]] = []
_Function = TypeVar("_Function", bound=Callable[..., Any])


def cached_njit(
    nogil: bool = False,
    allocates: bool = True,
    any_order: bool = False,
) -> Callable[[_Function], _Function]:
    """Compile a function with numba, and cache it where no stale loop can be found.

    The folder is named after the sources of all kernels. Numba itself looks at one source file at a time, so
    it would run a stale loop when only a function that is inlined from another file has changed.

    Args:
        nogil: Let other threads run meanwhile.
        allocates: Whether the function makes arrays. Many small ones that only work on what they are given are a fifth
            faster if numba counts no references to it, and looks for no divisor of 0.
        any_order: Let sums of floats be taken in any order, so that they become vector instructions.
    """
    numba = _numba()
    from lpspec.linked import LinkedCompiler, LinkingCompiler

    config: Any = numba.config

    def compile_cached(function: _Function) -> _Function:
        before = config.CACHE_DIR
        config.CACHE_DIR = before or str(_cache_folder())  # a folder chosen by the user stays chosen
        try:
            options: dict[str, Any] = {} if allocates else {"_nrt": False, "error_model": "numpy"}
            options |= {"nogil": nogil, "fastmath": {"reassoc", "contract"} if any_order else False}
            compiled: Any = numba.njit(cache=True, pipeline_class=LinkingCompiler, **options)(function)
            options |= {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
            linked: Any = numba.njit(pipeline_class=LinkedCompiler, **options)(function)
        finally:
            config.CACHE_DIR = before
        if not config.DISABLE_JIT:
            compiled.get_call_template = _template_of_numbers(linked)
            compiled.get_overload = linked.get_overload
        return cast(_Function, compiled)

    return compile_cached


def when_compiling(hear: Callable[[], None]) -> None:
    """Call somebody each time before something is compiled."""
    heard.append(hear)


@functools.cache
def _numba() -> Any:
    """Numba, once somebody needs it: whoever wants to hear of compilations hears of its own."""
    import numba
    from numba.core import event

    class Compilations(event.Listener):
        """Passes on that a function is compiled."""

        def on_start(self, event: object) -> None:
            """Numba starts to compile."""
            for hear in heard:
                hear()

        def on_end(self, event: object) -> None:
            """Numba has compiled."""

    register: Callable[[str, object], None] = event.register
    register("numba:compile", Compilations())
    return numba


def _template_of_numbers(linked: Any) -> Callable[[Sequence[Any], Mapping[str, Any]], Any]:
    """How compiled functions call one; a constant is a number to it: numba 0.68 compiles anew for each value of one."""
    from numba.core import types

    unliteral: Callable[[Any], Any] = types.unliteral

    def template_of_numbers(args: Sequence[Any], kws: Mapping[str, Any]) -> Any:
        return linked.get_call_template(
            [unliteral(arg) for arg in args], {name: unliteral(arg) for name, arg in kws.items()}
        )

    return template_of_numbers


@functools.cache
def _cache_folder() -> Path:
    """Where numba keeps loops: a folder named after the sources of all kernels."""
    return _first_writable(_possible_folders(_name_of_kernels()))


@functools.cache
def native_folder() -> Path:
    """Where ``lpspec.native`` keeps code: the folder that the user chose for numba too, or one of the same."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    return _first_writable((*([Path(chosen) / NATIVE] if chosen else []), *_possible_folders(NATIVE)))


def _first_writable(folders: Sequence[Path]) -> Path:
    """A folder beside the package's byte code, or in the user's cache, or one that lasts as long as the process."""
    for folder in folders:
        if _writable(folder):
            return folder
    temporary = tempfile.mkdtemp(prefix="lpspec-")
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    return Path(temporary)


def cache_folders() -> list[Path]:
    """Folders that hold compiled loops of this version."""
    folders = (*_possible_folders(_name_of_kernels()), *_possible_folders(NATIVE))
    return [folder for folder in folders if folder.is_dir()]


def _name_of_kernels() -> str:
    return f"numba-{hashlib.sha256(b''.join(_kernel_sources())).hexdigest()[:12]}"


def _possible_folders(name: str) -> tuple[Path, Path]:
    user_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "lpspec"
    return PACKAGE / "__pycache__" / name, user_cache / name


def _kernel_sources() -> list[bytes]:
    """Text of every file of the package that compiles a function."""
    sources = (path.read_bytes() for path in sorted(PACKAGE.rglob("*.py")))
    return [source for source in sources if DECORATOR in source]


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
