"""The one error that means "your input is wrong": a line for each fault, shown as is, exit code 2."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

LONGEST = 190
"""Characters of a message, so that it stays one line of 200 with the program's name before it."""

_PATH_SHOWN = 100

_WORDS_SHOWN = (_PATH_SHOWN, 60, 40, 25)
"""Characters of a word, such as a path, in a message that is too long, until it no longer is."""


class InputError(Exception):
    """Bad input, said in one line: what is wrong, where, and what is allowed. Several faults have a line each.

    Args:
        text: The line; where it is longer than ``LONGEST``, long words such as paths lose their starts.
        faults: Further lines, such as the faults of a file of which ``text`` says how many there are.
    """

    def __init__(self, text: str, *faults: str) -> None:
        """Keep the lines."""
        super().__init__("\n".join(map(_one_line, (text, *faults))))


def printable(text: str) -> str:
    """A text on one line, with no letter that a terminal would obey: such a letter as its number, as in ``\\x1b``."""
    line = " ".join(text.splitlines())
    return line if line.isprintable() else "".join(map(_visible, line))


def _visible(letter: str) -> str:
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode()


def _one_line(text: str) -> str:
    line = printable(text)
    for width in _WORDS_SHOWN:
        if len(line) > LONGEST:
            line = " ".join(_shortened(word, width) for word in line.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}..."


def unknown_name(kind: str, name: str, allowed: Iterable[str]) -> InputError:
    """Build the error for a name that is not in a list, with the nearest match if there is one.

    Args:
        kind: What the name should have been, such as ``"platform"``.
        name: The name as the user gave it.
        allowed: Every name that would have been accepted; as many are said as the line has room for.
    """
    names = sorted(allowed)
    spelt = {each.lower(): each for each in names}
    near = get_close_matches(name.lower(), spelt, n=1)
    hint = f"did you mean '{spelt[near[0]]}'? " if near else ""
    start = f"unknown {kind} '{shown(name, 60)}': {hint}known are "
    return InputError(start + listed(names, LONGEST - len(start)))


def listed(items: Sequence[str], room: int, separator: str = ", ") -> str:
    """As many of the items as fit ``room`` characters, at least one, and how many are left out."""
    for count in range(len(items), 1, -1):
        left = len(items) - count
        text = separator.join(items[:count]) + (f" and {left} more" if left else "")
        if len(text) <= room:
            return text
    return separator.join(items[:1]) + (f" and {len(items) - 1} more" if len(items) > 1 else "")


def exactly(number: float) -> str:
    """A number in as few digits as no other has: one a little past a limit is not shown as the limit."""
    short = f"{number:g}"
    if float(short) == number:
        return short
    return str(int(number)) if float(number).is_integer() else repr(float(number))


def shown(text: str, width: int = _PATH_SHOWN) -> str:
    """A name, path or value that the user gave, on one line; of a long one only its end."""
    text = printable(text)
    return text if len(text) <= width else f"...{text[3 - width :]}"


def _shortened(word: str, width: int) -> str:
    """A word of a message, its opening quotation mark kept."""
    return f"'{shown(word[1:], width - 1)}" if word.startswith("'") else shown(word, width)
