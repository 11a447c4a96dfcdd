"""A word to the user when numba has to compile the inner loops first."""

import functools
import os
import sys
from collections.abc import Callable

NOTICE = "compiling inner loops (once; 10 s, half a minute for a real decoder, a minute to time memory commands)..."


def announce_compiling() -> None:
    """Say so when numba starts to compile; nothing is said when all loops are found in its cache."""
    if os.environ.get("NUMBA_DISABLE_JIT", "0") in ("", "0"):
        _listen()


@functools.cache
def _listen() -> None:
    """Listen for the first function that numba finds in no cache."""
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
