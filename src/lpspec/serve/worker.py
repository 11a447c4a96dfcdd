"""A process that computes for the page, one thing at a time, and is ended where nobody waits for it any more."""

import asyncio
import multiprocessing
from collections.abc import Awaitable, Callable
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from lpspec.errors import InputError

LOOK_S = 0.05
"""How often a computation is asked whether somebody still waits for it."""

GRACE_S = 2.0
"""How long one that nobody waits for may go on: a new process takes as long to begin."""

Left = Callable[[], Awaitable[bool]]
"""Whether who asked has gone."""


BEGINS = "lpspec.serve.answers:begin_answering"
"""What a process calls first. It is said by name: this process need not load it, nor all that it needs."""


class GoneError(Exception):
    """Nobody waits for the answer."""


class Worker:
    """One process of the folder; what it knows of machines stays with it from one answer to the next."""

    def __init__(self, folder: Path, limit_s: float, begins: str = BEGINS) -> None:
        """Begin at once.

        Args:
            folder: Where relative paths of scenarios start.
            limit_s: How long an answer may take.
            begins: The function that the process calls first, with the folder, as ``module:name``.
        """
        self._folder, self._limit_s, self._begins = folder, limit_s, begins
        self._turn = asyncio.Lock()
        self._pool = self._begin()

    def _begin(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(1, context, initializer=_call, initargs=(self._begins, str(self._folder)))

    def warm(self) -> None:
        """Let the process begin before it is asked anything."""
        self._pool.submit(int)

    async def answer(self, left: Left, what: str, *arguments: str) -> dict[str, Any]:
        """Compute in the process.

        Args:
            left: Asked again and again while this waits.
            what: The function that answers, as ``module:name``.
            arguments: What it takes.

        Raises:
            GoneError: Nobody waits any more; nothing is computed then.
            InputError: It takes longer than the limit, or the process has ended.
        """
        async with self._turn:
            if await left():
                raise GoneError
            try:
                future = self._pool.submit(_call, what, *arguments)
            except BrokenExecutor:
                self.close()
                self._pool = self._begin()
                future = self._pool.submit(_call, what, *arguments)
            return await self._outcome(future, left)

    async def _outcome(self, future: "Future[dict[str, Any]]", left: Left) -> dict[str, Any]:
        now = asyncio.get_running_loop().time
        start_s, gone_s = now(), None
        while not future.done():
            await asyncio.sleep(LOOK_S if now() - start_s > LOOK_S else LOOK_S / 10)
            if gone_s is None and await left():
                gone_s = now()
            too_long = now() - start_s > self._limit_s
            if too_long or (gone_s is not None and now() - gone_s > GRACE_S):
                self.close()
                self._pool = self._begin()
                self.warm()
                if gone_s is not None:
                    raise GoneError
                raise InputError(f"this takes longer than {self._limit_s:g} s: ask for less, or use lpspec compare")
        if gone_s is not None:
            raise GoneError
        try:
            return future.result()
        except BrokenExecutor:
            raise InputError("the process that computes was ended: too little memory?") from None

    def close(self) -> None:
        """End the process at once."""
        processes: dict[int, Any] = dict(self._pool._processes or {})  # no public name for them before Python 3.14
        for process in processes.values():
            process.kill()
        self._pool.shutdown(wait=True, cancel_futures=True)


def _call(what: str, *arguments: str) -> Any:
    """Call a function by its name, ``module:name``."""
    return resolve_name(what)(*arguments)
