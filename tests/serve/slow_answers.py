"""Stands in for what computes, in processes of tests."""

import os
import time
from pathlib import Path
from typing import Any


def begin_answering(folder: str) -> None:
    os.chdir(folder)


def process() -> dict[str, Any]:
    return {"pid": os.getpid(), "folder": str(Path.cwd())}


def endless(mark: str) -> dict[str, Any]:
    Path(mark).touch()
    time.sleep(3600)
    return {}


def killed() -> dict[str, Any]:
    os._exit(1)
