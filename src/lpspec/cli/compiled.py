"""Where numba keeps the compiled inner loops, and a word to the user when it has to compile them first."""

import atexit
import functools
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import lpspec

PACKAGE = Path(lpspec.__file__).parent
KERNELS = ("simulation/kernels.py", "speculation/kernels.py")
NOTICE = "compiling inner loops (once, about 10 s)..."


def prepare_compiled() -> None:
    """Give numba a folder to cache in, and say so when it starts to compile. Call before importing the simulation.

    The folder is named after the sources of all kernels. Numba itself looks at one source file at a time, so
    it would run a stale loop when only a function that is inlined from another file has changed.
    """
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        return
    if "NUMBA_CACHE_DIR" not in os.environ:
        os.environ["NUMBA_CACHE_DIR"] = str(_cache_folder())
    _announce_compiling()


@functools.cache
def _announce_compiling() -> None:
    """Listen for the first function that numba finds in no cache; nothing is said when all are cached."""
    from numba.core import event

    class FirstCompilation(event.Listener):
        """Says once that compilation has started."""

        said = False

        def on_start(self, event: object) -> None:
            """Numba starts to compile a function."""
            if not self.said:
                print(NOTICE, file=sys.stderr, flush=True)
            self.said = True

        def on_end(self, event: object) -> None:
            """Numba has compiled a function."""

    register: Callable[[str, object], None] = event.register
    register("numba:compile", FirstCompilation())


def _cache_folder() -> Path:
    """A folder beside the package's byte code, or in the user's cache, or one that lasts as long as the process."""
    sources = b"".join((PACKAGE / name).read_bytes() for name in KERNELS)
    name = f"numba-{hashlib.sha256(sources).hexdigest()[:12]}"
    user_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "lpspec"
    for folder in (PACKAGE / "__pycache__" / name, user_cache / name):
        if _writable(folder):
            return folder
    temporary = tempfile.mkdtemp(prefix="lpspec-")
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    return Path(temporary)


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
