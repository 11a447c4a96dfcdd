"""``lpspec inspect``: every value of a platform, die, energy profile, model, trace or tree, and what weights fill."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lpspec.cli.deliver import deliver
from lpspec.cli.options import Changes, parse_changes
from lpspec.cli.outputs import plan_outputs
from lpspec.errors import InputError, unknown_name
from lpspec.text_files import is_there, read_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lpspec.experiments.energy_profiles import SideBySide
    from lpspec.report.sheets import Sheet


def inspect(
    name: str | None = None, /, *, changes: Changes = (), json: str | None = None, figure: str | None = None
) -> None:
    """Show every value of a platform, die, energy profile, model, trace, tree or file of weights.

    Parameters
    ----------
    name
        A name, a platform, die or energy profile (.toml; the last is shown beside all others), a model (config.json),
        weights (.gguf, .safetensors or their index) or a trace (.npz); all names if left out.
    changes
        Change a constant of the platform or die, as KEY=VALUE: --set memory.timing.nRCD=16. May be repeated. For an
        energy profile memory.die, memory.data_rate or memory.organisation.rows: the die on which it is shown.
    figure
        Draw an energy profile beside all others, to this path: .pdf and .png, or the one that it ends in.
    json
        Write the values as JSON to this file; - prints them instead of the table.
    """
    outputs = plan_outputs(json, figure)
    constants = parse_changes(changes)
    from lpspec.report.sheet_table import catalogue_blocks, sheet_blocks
    from lpspec.report.sheets import sheet_document

    if name is None:
        if constants or figure is not None:
            option, of = ("--set", "a platform or die") if constants else ("--figure", "an energy profile")
            example = "lp-spec" if constants else "micron-y52p"
            raise InputError(f"{option} needs the name of {of}, such as lpspec inspect {example}")
        catalogue = _catalogue()
        deliver(outputs, dict(catalogue), catalogue_blocks(catalogue))
        return
    sheets = _sheets(name, constants)
    document = {sheet.kind.replace(" ", "_"): sheet_document(sheet) for sheet in sheets}
    blocks = [block for sheet in sheets for block in sheet_blocks(sheet)]
    found = _beside(name, sheets, constants)
    if found is None:
        if figure is not None:
            raise InputError(f"--figure draws an energy profile beside all others, and '{name}' is a {sheets[0].kind}")
        deliver(outputs, document, blocks)
        return
    from lpspec.report.profile_table import beside_blocks, beside_document

    def draw() -> "Figure":
        from lpspec.report.profile_figure import profiles_figure

        return profiles_figure(found)

    document["energy_profile"]["beside"] = beside_document(found)
    deliver(outputs, document, [*blocks, *beside_blocks(found)], draw)


def _beside(name: str, sheets: "list[Sheet]", changes: dict[str, str]) -> "SideBySide | None":
    """An energy profile beside all others; None where it is none. Changes are a platform's of the same name."""
    kinds = [sheet.kind for sheet in sheets]
    if "energy profile" not in kinds:
        return None
    from lpspec.experiments.energy_profiles import side_by_side
    from lpspec.machine.loading import load_profile

    return side_by_side(load_profile(name), {} if "platform" in kinds else changes)


def _sheets(name: str, changes: dict[str, str]) -> "list[Sheet]":
    """Every sheet under a name, since a platform and an energy profile may share one."""
    is_file = "/" in name or name.endswith((".toml", ".json", ".npz", ".gguf", ".safetensors"))
    sheets = _file_sheets(name, changes) if is_file else _named_sheets(name, changes)
    if changes and not any(sheet.kind in ("platform", "die", "energy profile") for sheet in sheets):
        raise InputError(f"--set changes constants of a platform or die, and '{name}' is a {sheets[0].kind}")
    return sheets


def _file_sheets(path: str, changes: dict[str, str]) -> "list[Sheet]":
    from lpspec.report.sheets import trace_sheet

    if path.endswith(".toml"):
        return [_toml_sheet(path, changes)]
    if path.endswith(".npz"):
        from lpspec.speculation.rank_trace import load_trace

        return [trace_sheet(load_trace(path))]
    if path.endswith((".gguf", ".safetensors", ".safetensors.index.json")):
        return _weight_sheets(path)
    return [_model_sheet(path)]


def _weight_sheets(path: str) -> "list[Sheet]":
    """What a file of weights holds, and the model that it is, where that can be told."""
    from lpspec.llm.gguf import read_gguf
    from lpspec.llm.safetensors_header import read_safetensors
    from lpspec.llm.stored_tensors import shares
    from lpspec.report.sheets import stored_sheet

    tensors = read_gguf(path).tensors if path.endswith(".gguf") else read_safetensors(path)
    stored = shares(tensors)
    try:
        return [_model_sheet(path), stored_sheet(Path(path).name, stored)]
    except InputError as error:
        return [stored_sheet(Path(path).name, stored, f"not read as a model: {error}")]


def _toml_sheet(path: str, changes: dict[str, str]) -> "Sheet":
    """A platform, a die or an energy profile, whichever the file turns out to be."""
    import tomllib

    from lpspec.machine.die import DieSpec
    from lpspec.machine.energy_profile import EnergyProfile
    from lpspec.machine.loading import die_names, load_die, load_profile
    from lpspec.machine.platform_spec import PlatformSpec
    from lpspec.report.sheets import die_sheet, profile_sheet

    try:
        tables = tomllib.loads(read_text(Path(path)))
    except (OSError, ValueError):
        tables = {}  # the loader says what is wrong with it
    keys = set(tables)
    if tables.get("extends") in die_names() or keys & (set(DieSpec.model_fields) - set(PlatformSpec.model_fields)):
        return die_sheet(load_die(path, changes))
    prices = keys & (set(EnergyProfile.model_fields) - set(PlatformSpec.model_fields))
    sections = keys & (set(PlatformSpec.model_fields) - set(EnergyProfile.model_fields))
    if len(prices) > len(sections):
        return profile_sheet(load_profile(path))
    return _platform_sheet(path, changes)


def _platform_sheet(name: str, changes: dict[str, str]) -> "Sheet":
    from lpspec.devices.kinds import devices_of
    from lpspec.machine.loading import load_platform
    from lpspec.report.sheets import platform_sheet

    platform = load_platform(name, changes)
    return platform_sheet(platform, devices_of(platform).values())


def _model_sheet(name: str) -> "Sheet":
    from lpspec.llm import load_model
    from lpspec.report.model_sheet import model_sheet

    return model_sheet(load_model(name))


def _named_sheets(name: str, changes: dict[str, str]) -> "list[Sheet]":
    from lpspec.experiments.systems import KNOWN_SYSTEMS
    from lpspec.llm import model_names
    from lpspec.machine.loading import die_names, load_die, load_profile, platform_names, profile_names
    from lpspec.report.sheets import die_sheet, profile_sheet, trace_sheet, tree_sheet
    from lpspec.speculation.medusa_trees import named_tree, tree_names
    from lpspec.speculation.rank_trace import load_trace, trace_names

    sheets = []
    platform = KNOWN_SYSTEMS[name].platform if name in KNOWN_SYSTEMS and name not in platform_names() else name
    if platform in platform_names():
        sheets.append(_platform_sheet(platform, changes))
    if name in die_names():
        sheets.append(die_sheet(load_die(name, changes)))
    if name in profile_names():
        sheets.append(profile_sheet(load_profile(name)))
    if name in model_names():
        sheets.append(_model_sheet(name))
    if name in trace_names():
        sheets.append(trace_sheet(load_trace(name)))
    if name in tree_names():
        sheets.append(tree_sheet(name, named_tree(name)))
    if not sheets and name and is_there(name):
        return _file_sheets(name, changes)
    if not sheets:
        raise unknown_name("name", name, {entry for entries in _catalogue().values() for entry in entries})
    return sheets


def _catalogue() -> dict[str, dict[str, Any]]:
    """Every name with a summary, by kind."""
    from lpspec.experiments.systems import KNOWN_SYSTEMS
    from lpspec.llm import load_model, model_names
    from lpspec.machine.loading import die_names, load_die, load_platform, load_profile, platform_names, profile_names
    from lpspec.speculation.medusa_trees import named_tree, tree_names
    from lpspec.speculation.rank_trace import load_trace, trace_names

    return {
        "platforms": {name: load_platform(name).summary for name in platform_names()},
        "systems": {name: f"{system.summary} (on {system.platform})" for name, system in KNOWN_SYSTEMS.items()},
        "dies": {name: load_die(name).summary for name in die_names()},
        "energy profiles": {name: load_profile(name).summary for name in profile_names()},
        "models": {name: f"{load_model(name).parameters / 1e9:.2f} x 10^9 parameters" for name in model_names()},
        "traces": {
            name: f"{trace.kind}, {trace.model}, {trace.turns} turns, {trace.positions} tokens"
            for name, trace in ((name, load_trace(name)) for name in trace_names())
        },
        "trees": {name: f"{named_tree(name).size} tokens" for name in tree_names()},
    }
