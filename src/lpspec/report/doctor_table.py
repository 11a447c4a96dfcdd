"""What an installation has, as a table."""

from collections.abc import Iterator, Mapping
from typing import Any

from lpspec.report.wording import new_table


def doctor_blocks(found: Mapping[str, Any]) -> Iterator[Any]:
    """A row for each finding; what is missing says how to have it."""
    table = new_table("lpspec on this machine", "what")
    table.add_column("found", overflow="fold")
    for name in ("lpspec", "engine", "python", "executable", "system", "cores"):
        table.add_row(name, str(found[name]))
    table.add_row("packages", _versions(found["packages"]))
    for extra, packages in found["extras"].items():
        missing = [name for name, version in packages.items() if version is None]
        how = f"; for all of it: pip install 'lpspec[{extra}]'" if missing else ""
        table.add_row(f"extra {extra}", f"{_versions(packages)}{how}")
    for cache in found["caches"]:
        table.add_row("compiled loops", f"{cache['folder']}: {cache['files']} files, {cache['mb']:.1f} MB")
    if not found["caches"]:
        table.add_row("compiled loops", "none yet: the first command that needs them compiles them")
    yield table


def _versions(packages: Mapping[str, str | None]) -> str:
    return ", ".join(f"{name} {version or 'missing'}" for name, version in packages.items())
