"""``lpspec completion``: what a shell needs to complete commands and options."""

from typing import Annotated, Literal

from cyclopts import Parameter


def completion(shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(show_default=False)], /) -> None:
    """Print what completes commands and options in a shell.

    In bash, for all shells to come: lpspec completion bash >> ~/.bashrc. In zsh: lpspec completion zsh into a file
    _lpspec in a folder of fpath. In fish: lpspec completion fish > ~/.config/fish/completions/lpspec.fish.

    Parameters
    ----------
    shell
        bash, zsh or fish.
    """
    from lpspec.cli.command_line import make_app

    script = make_app().generate_completion(shell=shell)
    print(script.replace("_cyclopts_lpspec", "_lpspec"))  # zsh calls the function that is named as the file is
