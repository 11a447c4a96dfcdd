"""``lpspec doctor``: what this installation has, and what it lacks."""

import importlib.metadata
import os
import platform
import sys
from pathlib import Path
from typing import Any

from lpspec.cli.deliver import deliver
from lpspec.cli.options import JsonFile
from lpspec.cli.outputs import plan_outputs

REQUIRED = ("numpy", "numba", "llvmlite", "pydantic", "matplotlib", "rich", "cyclopts")
EXTRAS = {
    "models": ("torch", "safetensors", "tokenizers", "jinja2"),
    "frames": ("polars",),
    "explore": ("optuna", "scipy"),
    "dask": ("distributed",),
    "serve": ("starlette", "uvicorn"),
}
"""Packages of each extra, as in pyproject.toml."""


def doctor(*, json: JsonFile = None) -> None:
    """Say what this installation has: versions, cores, caches and extras."""
    outputs = plan_outputs(json)
    from lpspec.report.doctor_table import doctor_blocks

    found = findings()
    deliver(outputs, found, doctor_blocks(found))


def findings() -> dict[str, Any]:
    """Everything that is reported, as plain data."""
    from lpspec import __version__
    from lpspec.compiled import cache_folders
    from lpspec.engine_version import engine_version

    return {
        "lpspec": __version__,
        "engine": engine_version(),
        "python": platform.python_version(),
        "executable": sys.executable,
        "system": platform.platform(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "packages": {name: _version(name) for name in REQUIRED},
        "extras": {extra: {name: _version(name) for name in names} for extra, names in EXTRAS.items()},
        "caches": [{"folder": str(folder), **_size(folder)} for folder in cache_folders()],
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _size(folder: Path) -> dict[str, Any]:
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return {"files": len(sizes), "mb": sum(sizes) / 1e6}
