"""``lpspec completion``: what a shell needs to complete commands, options and their values."""

import re
from typing import Annotated, Literal

from cyclopts import Parameter

CHANGES: dict[str, tuple[tuple[str, str], ...]] = {
    "bash": (
        (r"(?m)^complete ", "complete -o bashdefault -o default "),
        (r"(printf -v _q '%q' \"\$_x\";)", r'\1 _q="${_q//\\\\,/,}";'),  # a list goes on behind a plain comma
    ),
    "zsh": (
        (r"(compadd -d _cyc_disp -a _cyc_vals)", r"\1 || _files"),
        (r"(\]:[a-z-]+)(?=')", r"\1:_files"),
    ),
    "fish": ((" -x -a ", " -r -a "),),
}
"""Of what cyclopts writes, by shell: where no name fits, files are offered, as a value may be a path."""


def completion(shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(show_default=False)], /) -> None:
    """Print what completes commands, options and their values in a shell.

    In bash, for all shells to come: lpspec completion bash >> ~/.bashrc. In zsh: lpspec completion zsh into a file
    _lpspec in a folder of fpath. In fish: lpspec completion fish > ~/.config/fish/completions/lpspec.fish.

    Parameters
    ----------
    shell
        bash, zsh or fish.
    """
    from lpspec.cli.command_line import make_app

    script = make_app().generate_completion(shell=shell)
    script = script.replace("_cyclopts_lpspec", "_lpspec")  # zsh calls the function that is named as the file is
    for pattern, other in CHANGES[shell]:
        script = re.sub(pattern, other, script)
    print(script)
