"""``lpspec --help``: every command in a line or two, with no command, and no parser of command lines, loaded."""

import shutil
import textwrap

SUMMARY = "Speculative LLM decoding on a mobile NPU beside hybrid LPDDR5-PIM memory (LP-Spec, ICCAD 2025)."

COMMANDS = {
    "reproduce": "Put every published number of LP-Spec beside the simulated one.",
    "compare": "Compare LP-Spec with other systems on the same requests.",
    "peers": "Put what neighbouring simulators and measurements give beside ours, under their conditions.",
    "clocks": "Find the data rate and NPU clock with which a demanded token/s takes the least energy.",
    "sustained": "Compare what machines do on a cold phone with what they keep up on a warm one.",
    "price": "Price one matrix product on every device of a system: analytic time, and energy by what is counted.",
    "sweep": "Run every point of a study, and keep each in a store as soon as it is finished.",
    "search": "Search a study for the points that no other beats, and confirm the best by commands.",
    "results": "Show, filter, draw and export the points of a store.",
    "study": "Make every table and figure of a comparison: LP-Spec+ against LP-Spec.",
    "report": "Write a result or the points of a store as one page of HTML that needs nothing besides itself.",
    "serve": "Open a local page with sliders for machine, model and workload, whose table and pictures follow.",
    "placement": "Compare static, dynamic and replicated placement of weights on LP-Spec.",
    "traffic": "Decode on LP-Spec while a CPU reads and writes beside it.",
    "inspect": "Show every value of a platform, die, energy profile, model, trace, tree or file of weights.",
    "validate": "Compare every level of the model with the one below it, and with what is published.",
    "generate": "Continue a text with a real model and token trees, and price the steps on a platform.",
    "record": "Decode greedily and record what the drafter guessed at every token.",
    "acceptance": "Show how far drafts are right in a trace, or make a trace of what others measured.",
    "calibrate": "Time verify passes and drafts on this machine.",
    "completion": "Print what completes commands, options and their values in a shell.",
    "doctor": "Say what this installation has: versions, cores, caches and extras.",
    "dram": "LPDDR5 and its PIM, command by command: serve requests, check command streams, compute products.",
}
"""What the overview says of each command; a command's own page has its docstring."""

GROUPS = ("dram", "study")
"""Those that have commands of their own."""

_FLAGS = {"--help (-h)": "Show this; behind a command, its options.", "--version": "Show the version."}


def overview() -> str:
    """The commands and what each is for, as wide as the terminal."""
    width = max(shutil.get_terminal_size().columns, 40)
    margin = max(map(len, (*COMMANDS, *_FLAGS))) + 4
    entries = {**dict(sorted(COMMANDS.items())), **_FLAGS}
    lines = [_filled(text, width, f"  {name}".ljust(margin), " " * margin) for name, text in entries.items()]
    return "\n".join(["Usage: lpspec COMMAND", "", _filled(SUMMARY, width), "", "Commands:", *lines])


def _filled(text: str, width: int, first: str = "", further: str = "") -> str:
    return textwrap.fill(text, width, initial_indent=first, subsequent_indent=further, break_on_hyphens=False)
