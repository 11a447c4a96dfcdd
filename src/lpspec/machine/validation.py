"""Tables of a description checked by its schema: every fault at once, each with its path and the nearest known key."""

from difflib import get_close_matches
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from lpspec.errors import LONGEST, InputError, listed
from lpspec.machine.quantity import Described, Quantity

_T = TypeVar("_T", bound=BaseModel)


def validated(model: type[_T], data: dict[str, Any], where: str, in_full: bool = False) -> _T:
    """Check the whole description and report its errors at once, each with its path.

    Args:
        model: The schema.
        data: Its tables.
        where: What they describe, for messages.
        in_full: Whether errors that one line does not hold have a line each.

    Raises:
        InputError: Something is wrong.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = [_one_problem(model, e["type"], e["loc"], e["msg"]) for e in error.errors()]
        line = f"{where}: {'; '.join(problems)}"
        if in_full and len(line) > LONGEST and len(problems) > 1:
            raise InputError(f"{where}: {len(problems)} faults", *problems) from error
        raise InputError(f"{where}: {listed(problems, LONGEST - len(where) - 2, '; ')}") from error


def _one_problem(model: type[BaseModel], kind: str, loc: tuple[int | str, ...], message: str) -> str:
    place = ".".join(map(str, loc))
    if kind == "extra_forbidden":
        message = _unknown_key(model, loc)
    message = message.removeprefix("Value error, ")
    return f"{place}: {message}" if place else message


def _unknown_key(model: type[BaseModel], loc: tuple[int | str, ...]) -> str:
    """Say that the last part of ``loc`` is no key of its section, with the nearest one that is."""
    *sections, key = map(str, loc)
    for section in sections:
        if not section.isdecimal():  # the number of a table among several of a name
            model = _section_model(_fields(model)[section].annotation)
    prefix = "".join(f"{section}." for section in sections)
    known = _fields(model)
    spelt = {name.lower(): name for name in known}
    near = get_close_matches(key.lower(), spelt, n=1)
    hint = f"did you mean '{prefix}{spelt[near[0]]}'? " if near else ""
    return f"is not a known key: {hint}known are {listed([prefix + name for name in known], 70)}"


def with_defaults(model: type[BaseModel], table: dict[str, Any]) -> dict[str, Any]:
    """A table with what its file leaves to defaults written out, so that these can be changed, too."""
    full = dict(table)
    for key, field in _fields(model).items():
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        if isinstance(default, Quantity):
            full.setdefault(key, {"value": default.text(), "source": default.source})
        elif default is not None and not isinstance(default, BaseModel):
            full.setdefault(key, default)
        given = full.get(key, {} if isinstance(default, Described) else None)
        if isinstance(given, dict) and "value" not in given:
            full[key] = with_defaults(_section_model(field.annotation), given)
    return full


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    """Fields by the name that a file has for them."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _section_model(annotation: Any) -> type[BaseModel]:
    """The model of a section, optional or not."""
    models: list[type[BaseModel]] = [
        a for a in (annotation, *get_args(annotation)) if isinstance(a, type) and issubclass(a, BaseModel)
    ]
    return models[0]
