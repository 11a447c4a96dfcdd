"""Native code of a program: made by LLVM for this processor, kept in a folder, loaded into this process."""

import ctypes
import functools
import hashlib
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lpspec.compiled import PACKAGE, heard, native_folder

_STARTED_S = time.time()
Run = Callable[[Any], None]
"""Takes a buffer of words, arguments one after the other; the result comes into it."""
_IMPORTED = re.compile(rb"^\s*(?:from (lpspec[\w.]*) import|import (lpspec[\w.]*))", re.MULTILINE)


def entry_of(name: str, types: str, own: str, text: Callable[[], tuple[str, str]]) -> tuple[Run, str]:
    """A program, ready to run.

    Args:
        name: Dotted name of the function that Python calls.
        types: Of its arguments.
        own: Text of its module, which may lie outside the package.
        text: Writes the program in LLVM's language, with how its result is laid out.

    Returns:
        Its entry, and how its result is laid out.
    """
    if _changed(name.rpartition(".")[0]):  # what is on disk is not what runs
        program, layout = text()
        return _load(_object_code(program)), layout
    key = hashlib.sha256(repr((own, _sources(name.rpartition(".")[0]), _processor())).encode()).hexdigest()
    path = native_folder() / f"{name}-{hashlib.sha256(types.encode()).hexdigest()[:12]}.o"
    found, code = _kept(path, key)
    if found is None:
        for hear in heard:
            hear()
        program, found = text()
        code = _object_code(program)
        _keep(path, f"{_sealed(key, code)} {found}\n".encode() + code)
    return _load(code), found


def _kept(path: Path, key: str) -> tuple[str | None, bytes]:
    """What a file holds, if that is what the key says, and whole."""
    try:
        head, _, code = path.read_bytes().partition(b"\n")
    except OSError:
        return None, b""
    own, _, result = head.decode("ascii", "replace").partition(" ")
    return (result, code) if own == _sealed(key, code) else (None, b"")


def _sealed(key: str, code: bytes) -> str:
    """A digest of a key and of its code, of which nothing may be missing: it is run as it is."""
    return hashlib.sha256(key.encode() + code).hexdigest()


def _keep(path: Path, content: bytes) -> None:
    """Write a file as a whole, so that nobody finds a part of it; a folder that is full or gone keeps nothing."""
    other = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        other.write_bytes(content)
        other.replace(path)
    except OSError:
        other.unlink(missing_ok=True)


@functools.cache
def _sources(module: str) -> str:
    """A digest of the sources of a module, of all modules that it imports, and of this compiler."""
    digest = hashlib.sha256()
    for _, (_, source) in sorted(_imported_modules(module).items()):
        digest.update(source)
    return digest.hexdigest()


def _changed(module: str) -> bool:
    """Whether a source was written since this process began."""
    written = [path.stat().st_mtime for path, _ in _imported_modules(module).values()]
    return any(_STARTED_S < one <= time.time() for one in written)


def _imported_modules(module: str) -> dict[str, tuple[Path, bytes]]:
    """Files and sources by dotted name; a name inside a module counts for nothing."""
    found: dict[str, tuple[Path, bytes]] = {}
    left = [module, "lpspec.native.functions"]
    while left:
        name = left.pop()
        path = PACKAGE.parent.joinpath(*name.split("."))
        path = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
        if name not in found and path.is_file():
            found[name] = path, path.read_bytes()
            left += [(one or other).decode() for one, other in _IMPORTED.findall(found[name][1])]
    return found


@functools.cache
def _processor() -> tuple[str, str, str, str]:
    """What native code is for."""
    import llvmlite
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features().flatten()
    return (
        llvm.get_process_triple(),
        llvm.get_host_cpu_name(),
        features,
        f"{llvmlite.__version__} {sys.version_info[:2]}",
    )


@functools.cache
def _machine() -> Any:
    """LLVM's target."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    triple, processor, features, _ = _processor()
    reloc = "static" if triple.startswith(("x86", "i")) else "default"
    return llvm.Target.from_triple(triple).create_target_machine(
        cpu=processor, features=features, opt=3, reloc=reloc, codemodel="jitdefault", jit=True
    )


def _object_code(program: str) -> bytes:
    """Native code of a program."""
    import llvmlite.binding as llvm

    machine = _machine()
    module = llvm.parse_assembly(program)
    module.triple, module.data_layout = llvm.get_process_triple(), str(machine.target_data)
    tuning = llvm.create_pipeline_tuning_options(speed_level=3)
    passes = llvm.create_pass_builder(machine, tuning)
    passes.getModulePassManager().run(module, passes)
    code: bytes = machine.emit_object(module)
    return code


_engines: list[Any] = []


def _load(code: bytes) -> Run:
    """Load native code, which stays until the process ends."""
    import llvmlite.binding as llvm

    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _engines.append(engine)
    return ctypes.CFUNCTYPE(None, ctypes.c_void_p)(engine.get_function_address("entry"))
