"""Options that commands share, and the checks that the parser cannot do."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, make_dataclass
from typing import Annotated, Any

from cyclopts import Parameter, Token

from lpspec.cli.offers import completer
from lpspec.errors import InputError
from lpspec.scenario.checking import LARGEST
from lpspec.scenario.option import Option, options_of
from lpspec.scenario.scenario import DEFAULT, Scenario


def whole_number(_type: Any, tokens: Sequence[Token]) -> int:
    """Read an int; 1.5 is refused, not rounded."""
    text = tokens[0].value
    try:
        number = int(text)
    except ValueError:
        raise ValueError(f'"{text}" is no whole number') from None
    if abs(number) > LARGEST:
        raise ValueError(f"at most {LARGEST} is possible")
    return number


WholeNumber = Annotated[int, Parameter(allow_leading_hyphen=True, converter=whole_number)]
JsonFile = Annotated[
    str | None, Parameter(help="Write the result as JSON to this file; - prints it instead of the table.")
]
FigureFile = Annotated[
    str | None,
    Parameter(help="Write a figure to this path, as .pdf and .png; .pdf, .png or .svg at its end names one."),
]
Names = Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)]
ScenarioFile = Annotated[
    str | None,
    Parameter(help="Take what is not given here from this .toml or .json file, or from a result that --json wrote."),
]
Changes = Annotated[tuple[str, ...], Parameter(name="--set", negative=(), show_default=False)]


def flattened(description: type, *names: str) -> Any:
    """A class whose fields are options of a description, for cyclopts to flatten; a field is None where none is given.

    Args:
        description: What the options are of, which says what they mean.
        names: Of the options; all if none is named.
    """
    wanted = [option for option in options_of(description) if not names or option.name in names]
    fields = [(option.name, _annotation(option), field(default=None)) for option in wanted]
    return make_dataclass(f"{description.__name__}Options", fields, frozen=True, namespace={"__module__": __name__})


def _annotation(option: Option) -> Any:
    kind: Any = option.kind if option.kind in (int, float, bool) and not option.or_text else str
    special: dict[str, Any] = {}
    if kind is int:
        special = {"allow_leading_hyphen": True, "converter": whole_number}
    elif option.is_list or option.is_table:
        kind, special = tuple[str, ...], {"negative": ()}
    if option.default is False:
        special["negative"] = ()
    shown = None if option.default is None or option.default is False or option.is_table else str(option.default)
    if option.flag:
        special["name"] = f"--{option.flag}"
    special["completer"] = completer(option)
    show_default: Any = False if shown is None else lambda _: shown
    return Annotated[kind | None, Parameter(help=option.help, show_default=show_default, **special)]


def given_options(description: type, options: Any) -> dict[str, Any]:
    """Options that the command line gave, by name, lists and changes read.

    Raises:
        InputError: A list with an empty name, or a change that is no KEY=VALUE.
    """
    found: dict[str, Any] = {}
    for option in options_of(description):
        value = getattr(options, option.name, None)
        if value is None:
            continue
        flag = f"--{option.flag or option.name.replace('_', '-')}"
        found[option.name] = split_names(flag, value) if option.is_list else value
        if option.is_table:
            found[option.name] = parse_changes(value)
    return found


def read_scenario(file: str | None, options: Any, base: Scenario = DEFAULT) -> Scenario:
    """The scenario of a file, or else the base, with what the command line gives in place of what it says.

    Single changes are laid over those of the file.

    Args:
        file: A scenario or a result; None for none.
        options: What ``flattened`` made of the command line.
        base: What is run where nothing is said.

    Raises:
        InputError: The file cannot be used, or a value is not allowed.
    """
    scenario = base if file is None else Scenario.load(file)
    given = given_options(Scenario, options)
    changes: Mapping[str, str] = given.pop("changes", {})
    return scenario.replace(**given, changes={**scenario.changes, **changes})


def rank_numbers(option: str, text: str | None) -> tuple[int, ...]:
    """Ranks from a list such as 0,1,2; none when the option was not given.

    Raises:
        InputError: Something in the list is no rank.
    """
    parts = [part.strip() for part in text.split(",")] if text is not None else []
    if not all(part.isascii() and part.isdecimal() and len(part) < 3 for part in parts):
        raise InputError(f"{option} {text} must be ranks with commas between them, such as 0,1,2")
    return tuple(map(int, parts))


def split_names(option: str, texts: Iterable[str]) -> list[str] | None:
    """Names from the comma-separated lists of an option; None when it was not given.

    Raises:
        InputError: A list with nothing between its commas.
    """
    texts = list(texts)
    names = [name.strip() for text in texts for name in text.split(",")]
    if not all(names):
        raise InputError(f"{option} {','.join(texts)} has an empty name: write names with commas between them")
    return names or None


def parse_changes(texts: Iterable[str]) -> dict[str, str]:
    """Constants to change, from KEY=VALUE texts.

    Raises:
        InputError: A text without key or value, or a key given twice.
    """
    changes: dict[str, str] = {}
    for text in texts:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not (key and equals and value):
            raise InputError(f"--set {text} must be KEY=VALUE, such as --set pim.mac_interval='10 ns'")
        if key in changes:
            raise InputError(f"--set {key} is given twice")
        changes[key] = value
    return changes
