"""Every block of docs/*.md does what the page says: commands and Python are run, in order, in a folder of their own.

Files that a page shows under a name are written there first. What is not run is listed by name, with the reason.
"""

import contextlib
import io
import math
import os
import re
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from command_line import run_command
from page_blocks import DOCS, FILES, PAGES, PROGRAMS, SHOWN, Block, Command, blocks, commands

from lpspec.allocation.allocator import ALLOCATORS
from lpspec.cli.command_line import joined, make_app
from lpspec.cli.overview import COMMANDS
from lpspec.decoding.drafters import DRAFTERS
from lpspec.explore.study_file import load_study
from lpspec.llm.draft_work import DRAFT_WORK
from lpspec.machine.device_kinds import DEVICES
from lpspec.scenario import Scenario
from lpspec.simulation.workload import PRUNERS

ROOT = DOCS.parent
NEEDS_TORCH = ("generate", "record", "calibrate")

NOT_RUN = {
    "lpspec placement": "a minute at command level: tests/experiments/test_placement_study.py",
    "lpspec traffic": "half a minute: tests/cli/test_traffic.py",
    "lpspec sustained --model llama3-8b --figure out/sustained": "half a minute: tests/experiments/test_sustained.py",
    "lpspec study beyond --store out/beyond --figure out/beyond": "minutes: tests/cli/test_study_command.py",
    "lpspec study beyond --grid --fidelity analytic --new-tokens 64 --store out/grid": "minutes: "
    "tests/explore/test_beyond.py",
    "lpspec validate": "two minutes: tests/cli/test_validate.py",
    "lpspec validate --random 2000": "seven minutes: tests/experiments/test_random_machines.py",
    "lpspec traffic --gb-per-s 5 --fairness pim-first,npu-first": "half a minute: tests/cli/test_traffic.py",
    "lpspec search study.toml --store study": "half a minute, and run with its goals in explore.md",
    "lpspec inspect model.gguf": "a model's file has gigabytes: tests/cli/test_inspect_files.py",
    "lpspec serve": "answers until it is ended: tests/serve",
    "lpspec serve out/mine --scenario out/mine/first.toml --port 0": "answers until it is ended: tests/serve",
    "lpspec calibrate --json here.json --figure out/speed": "times this machine: tests/decoding/test_machine_prices.py",
    'lpspec generate --prompt "Q: Tom has 3 boxes of 12 pens." --objective machine --prices here.json': "takes what "
    "calibrate wrote: tests/cli/test_generate_commands.py",
}
"""Lines that are read, their options checked, and not run; each with the reason and where the same is run."""

BROUGHT = {
    "vllm.log": "SpecDecoding metrics: Mean acceptance length: 2.5, Accepted: 300 tokens, Drafted: 600 tokens, "
    "Per-position acceptance rate: 0.800, 0.500, 0.200\n",
    "pim.csv": "ck,command,rank,bank_group,bank,row,column\n0,PIM_ENTER,7,,,,\n80,PIM_ACT,2,,0,9,\n",
    "prompts.jsonl": '{"prompt": "Q: Tom has 3 boxes of 12 pens."}\n',
}
"""Files that a reader has, and no page shows."""


def every(kind: str) -> list[Block]:
    return [block for page in PAGES for block in blocks(page) if block.kind == kind]


LINES = [command for block in every("shell") for command in commands(block)]


def test_every_block_is_of_a_kind_that_is_run_or_known() -> None:
    kinds = {block.kind: str(block) for page in PAGES for block in blocks(page)}
    assert {kind: where for kind, where in kinds.items() if kind not in ("shell", "python", *FILES, *SHOWN)} == {}


def test_every_file_has_the_name_that_commands_call_it_by() -> None:
    assert [str(block) for kind in FILES for block in every(kind) if block.name is None] == []


def test_what_is_not_run_stands_in_a_page() -> None:
    assert set(NOT_RUN) <= {str(command) for command in LINES}
    assert [
        file for why in NOT_RUN.values() for file in re.findall(r"tests/\S+", why) if not (ROOT / file).exists()
    ] == []


@pytest.mark.parametrize("command", LINES, ids=lambda command: f"{command.block} {command}"[:80])
def test_a_line_is_one_that_a_shell_can_take(command: Command) -> None:
    """Programs are known, commands and options exist, make's targets and extras too."""
    words = command.words
    assert words[0].rpartition("/")[2] in PROGRAMS, command
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text("utf-8"), re.M)
    for extra in re.findall(r"lpspec\[(\w+)\]", command.text):
        assert extra in tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    if command.is_plain and words[1] in COMMANDS:
        make_app().parse_args(joined(words[1:]), print_error=False, exit_on_error=False)


@pytest.mark.parametrize("page", PAGES)
def test_options_that_a_page_names_exist(page: str) -> None:
    text = (DOCS / page).read_text("utf-8")
    own = {option for code in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text) for option in OPTION.findall(code)}
    assert own - every_option() - OTHERS == set()


@cache
def every_option() -> set[str]:
    return set(OPTION.findall(make_app().generate_docs()))


OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]+")
OTHERS = {
    "--rounds",
    "--points",
    "--inputs",
    "--only",
    "--memories",
    "--revision",
    "--help",
    "--version",
    "--save-result",
}
"""Options of benchmarks, of tools, of vLLM, and of every command."""


def says(shown: list[str], printed: list[str]) -> bool:
    """Whether a line has the words that a page shows, and its numbers to within 1 %, since a last digit may move."""
    return len(shown) == len(printed) and all(
        one == two or _near(one, two) for one, two in zip(shown, printed, strict=True)
    )


def _near(shown: str, printed: str) -> bool:
    texts = [re.sub(r"[,%x]|\\times", "", text).rstrip("}],") for text in (shown, printed)]
    with contextlib.suppress(ValueError):
        return math.isclose(float(texts[0]), float(texts[1]), rel_tol=0.01)
    return False


class Reader:
    """Somebody who follows a page in an empty folder, to the letter.

    Args:
        folder: Where.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: dict[str, Any] = {"__name__": "__main__"}

    def follow(self, page: str) -> None:
        found = list(blocks(page))
        shown = [block for other in PAGES if other != page for block in blocks(other)]
        for block in [*shown, *found]:
            if block.name is not None:
                (self.folder / block.name).write_text(block.text, "utf-8")
        for block in found:
            if block.kind == "python" and block.name is None:
                self.run_python(block)
            elif block.kind == "shell":
                for command in commands(block):
                    self.run_line(command)
            elif block.kind == "toml":
                self.load(block)

    def run_python(self, block: Block) -> None:
        if "to_dataframe" not in block.text or find_spec("polars") is not None:
            code = compile("\n" * block.line + block.text, block.page, "exec")
            with contextlib.redirect_stdout(io.StringIO()):
                exec(code, self.names)

    def run_line(self, command: Command) -> None:
        if str(command) in NOT_RUN or command.words[0] in ("make", "pip"):
            return
        if set(NEEDS_TORCH) & set(command.words[:2]) and find_spec("torch") is None:
            return
        printed = self.call(command) if command.is_plain else self.ask_shell(command)
        lines = [line.split() for line in printed.splitlines()]
        missing = [line for line in command.output if not any(says(line.split(), found) for found in lines)]
        assert missing == [], f"{command.block} {command}:\n{printed}"

    def call(self, command: Command) -> str:
        said = run_command(command.words[1:])
        assert said.code == 0, f"{command.block} {command}: {said.err}"
        return said.out

    def ask_shell(self, command: Command) -> str:
        tools = self.folder / ".tools"
        tools.mkdir(exist_ok=True)
        for name, call in (("lpspec", "-m lpspec"), ("python", "")):
            (tools / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {call} "$@"\n')
            (tools / name).chmod(0o755)
        path = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
        bash = ["bash", "-c", command.text]
        done = subprocess.run(bash, cwd=self.folder, env=path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command.block} {command}: {done.stderr}"
        return done.stdout

    def load(self, block: Block) -> None:
        """A study or a scenario by its reader; platforms, dies and profiles as ``lpspec inspect`` reads them."""
        keys, name = tomllib.loads(block.text).keys(), str(block.name)
        if "axes" in keys:
            load_study(name)
        elif "name" in keys:
            said = run_command(["inspect", name])
            assert said.code == 0, f"{block}: {said.err}"
        else:
            Scenario.load(name)


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reader:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LPSPEC_PRICES", str(tmp_path / "prices.sqlite"))
    for registry in (PRUNERS, ALLOCATORS, DRAFTERS, DRAFT_WORK, DEVICES):
        monkeypatch.setattr(registry, "_parts", dict(registry._parts))
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    for name, text in BROUGHT.items():
        (tmp_path / name).write_text(text, "utf-8")
    return Reader(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_a_page_does_what_it_says(reader: Reader, page: str) -> None:
    reader.follow(page)
