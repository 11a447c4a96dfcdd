"""A word to the user when inner loops have to be compiled first."""

import functools
import os
import sys

from lpspec.compiled import when_compiling

NOTICE = "compiling inner loops (once; some seconds, half a minute for a real decoder or to check commands)..."


@functools.cache
def announce_compiling() -> None:
    """Say so when a compilation starts; nothing is said when all loops are found where they are kept."""
    if os.environ.get("NUMBA_DISABLE_JIT", "0") in ("", "0"):
        when_compiling(_say)


@functools.cache
def _say() -> None:
    print(NOTICE, file=sys.stderr, flush=True)
