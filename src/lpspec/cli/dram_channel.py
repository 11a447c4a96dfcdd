"""The channel that ``lpspec dram run`` is asked for: by its die and options, or as a machine has it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from lpspec.cli.dram_options import Serving
from lpspec.dram.platform_channel import command_die, command_die_named, controller_of_platform
from lpspec.dram.run.controller import Controller
from lpspec.dram.run.request_source import Lying
from lpspec.errors import InputError
from lpspec.machine.die import DieSpec
from lpspec.machine.energy_profile import EnergyProfile
from lpspec.machine.loading import load_platform, load_profile

POLICIES = ("page", "page_timeout", "postpone", "drain_high", "drain_low", "age_cap", "patience")


class ServedChannel(NamedTuple):
    """A channel that serves requests, its prices, and where a machine's addresses lie; None without a machine."""

    device: DieSpec
    controller: Controller
    profile: EnergyProfile
    lying: Lying | None


def served_channel(given: Mapping[str, Any]) -> ServedChannel:
    """The channel of some options, or of a machine's plain ranks, but for what is given besides.

    Args:
        given: Options of ``Serving`` by name, those that were given.

    Raises:
        InputError: Something that does not exist, that no controller has, or that would have no effect.
    """
    asked = Serving(**given)
    profile = load_profile(asked.energy_profile)
    if asked.platform is None:
        policies = {key: getattr(asked, key) for key in POLICIES}
        controller = Controller(asked.ranks, asked.refresh, wck=asked.wck, **policies)
        _check_postponed(controller)
        die = command_die_named(asked.die, asked.changes)
        _check_changes(asked.changes)
        return ServedChannel(die, controller, profile, None)
    if "die" in given:
        raise InputError("--die and --platform name the die twice: --set memory.die=... changes that of a machine")
    machine = load_platform(asked.platform, asked.changes)
    _check_changes(asked.changes)
    of_machine, memory = controller_of_platform(machine), machine.memory
    assert memory is not None
    own = {key: given.get(key, getattr(of_machine, key)) for key in POLICIES}
    if own["page"] != "timeout" and "page_timeout" not in given:
        own["page_timeout"] = None
    controller = Controller(given.get("ranks", memory.dram_ranks.n), asked.refresh, wck=asked.wck, **own)
    _check_postponed(controller)
    lying = Lying(memory.controller.address_mapping, memory.channels.n)
    return ServedChannel(command_die(machine), controller, machine.priced_by(profile), lying)


def _check_postponed(controller: Controller) -> None:
    if controller.postpone and controller.refresh == "none":
        what = f"--postpone is {controller.postpone}"
        raise InputError(f"{what}: there is nothing to put off under --refresh none")


def _check_changes(changes: Mapping[str, str]) -> None:
    for key in changes:
        if not key.startswith("memory"):
            raise InputError(f"--set {key} changes nothing of reads and writes: allowed are constants of memory")
