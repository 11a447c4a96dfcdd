"""A process that computes: kept while it is of use, ended where nobody waits or it takes too long."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from lpspec.errors import InputError
from lpspec.serve import worker
from lpspec.serve.worker import GoneError, Worker


async def stays() -> bool:
    return False


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], Worker]]:
    monkeypatch.setattr(worker, "GRACE_S", 0.0)
    begun: list[Worker] = []

    def begin_worker(limit_s: float) -> Worker:
        begun.append(Worker(tmp_path, limit_s, "slow_answers:begin_answering"))
        return begun[-1]

    yield begin_worker
    for one in begun:
        one.close()


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def test_a_process_is_kept_from_one_answer_to_the_next(begin: Callable[[float], Worker], tmp_path: Path) -> None:
    one = begin(600)

    async def ask() -> list[dict[str, Any]]:
        return [await one.answer(stays, "slow_answers:process"), await one.answer(stays, "slow_answers:process")]

    first, second = run(ask())
    assert first == second
    assert first["folder"] == str(tmp_path)


def test_work_that_nobody_waits_for_is_ended(begin: Callable[[float], Worker], tmp_path: Path) -> None:
    one, mark = begin(600), tmp_path / "begun"

    async def leaves() -> bool:
        return mark.exists()

    async def ask() -> list[Any]:
        before = await one.answer(stays, "slow_answers:process")
        with pytest.raises(GoneError):
            await one.answer(leaves, "slow_answers:endless", str(mark))
        return [before["pid"], (await one.answer(stays, "slow_answers:process"))["pid"]]

    before, after = run(ask())
    assert before != after


def test_what_waits_for_its_turn_and_is_left_is_never_begun(begin: Callable[[float], Worker], tmp_path: Path) -> None:
    one, mark = begin(600), tmp_path / "begun"

    async def gone() -> bool:
        return True

    async def ask() -> None:
        with pytest.raises(GoneError):
            await one.answer(gone, "slow_answers:endless", str(mark))
        await one.answer(stays, "slow_answers:process")

    run(ask())
    assert not mark.exists()


def test_what_takes_too_long_is_said(begin: Callable[[float], Worker], tmp_path: Path) -> None:
    one = begin(0.2)
    with pytest.raises(InputError, match=r"^this takes longer than 0.2 s"):
        run(one.answer(stays, "slow_answers:endless", str(tmp_path / "begun")))


def test_a_process_that_is_ended_from_outside_is_said_and_begun_again(begin: Callable[[float], Worker]) -> None:
    one = begin(600)

    async def ask() -> dict[str, Any]:
        with pytest.raises(InputError, match="was ended: too little memory"):
            await one.answer(stays, "slow_answers:killed")
        return await one.answer(stays, "slow_answers:process")

    assert run(ask())["pid"] > 0
