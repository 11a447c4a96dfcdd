"""``lpspec serve``: a page of this machine with sliders for machine, model and workload."""

import contextlib
import importlib.util
import tempfile
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from lpspec.cli.options import WholeNumber
from lpspec.cli.signals import end_by
from lpspec.errors import InputError, shown
from lpspec.scenario import Scenario
from lpspec.scenario.scenario import DEFAULT

NEEDED = ("starlette", "uvicorn")
FIRST = DEFAULT.replace(systems=("npu-spec", "pim-spec", "lp-spec"))
"""What the page shows where no scenario is given."""


def serve(
    folder: Annotated[str | None, Parameter(show_default=False)] = None,
    /,
    *,
    scenario: str | None = None,
    port: WholeNumber = 8765,
    browser: bool = True,
) -> None:
    """Open a local page with sliders for machine, model and workload, whose table and pictures follow.

    Parameters
    ----------
    folder
        Whose platform, model and trace files the page may use, and where it may save scenarios; none if left out.
    scenario
        Begin with this .toml or .json file, or with a result that --json wrote.
    port
        Of this machine's loopback, on which alone the page is answered; 0 for any that is free.
    browser
        Open the page in a browser.
    """
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise InputError(f"lpspec serve needs {' and '.join(missing)}: pip install 'lpspec[serve]'")
    from lpspec.serve import app
    from lpspec.serve.folder import check_inside, from_folder

    with contextlib.ExitStack() as last:
        place = (
            Path(last.enter_context(tempfile.TemporaryDirectory(prefix="lpspec-"))) if folder is None else Path(folder)
        )
        if folder == "" or not place.is_dir():
            raise InputError(f"'{shown(folder or '')}' is no folder: give one that exists")
        place = place.resolve()
        first = FIRST if scenario is None else from_folder(Scenario.load(scenario), place)
        if first.workload.requests is not None or first.workload.batch > 1:
            raise InputError("lpspec serve shows one request at a time: lpspec compare has --requests and --batch")
        check_inside(first, place)
        opened = app.listen(port)
        address = f"http://127.0.0.1:{opened.getsockname()[1]}/"

        def ready() -> None:
            print(f"{address} (Ctrl-C ends it)", flush=True)
            if browser:
                import webbrowser

                webbrowser.open(address)

        ended_by = app.serve(app.Place(place, folder is not None, first, opened.getsockname()[1]), opened, ready)
        if ended_by is not None:
            end_by(ended_by)
