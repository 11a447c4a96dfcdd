"""What can be asked of the memory at command level: the options of ``lpspec dram``, each described once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from lpspec.scenario import Scenario
from lpspec.scenario.changes import Changes
from lpspec.scenario.description import Description
from lpspec.scenario.option import option, same_option

Refresh = Literal["none", "all-bank", "per-bank"]
Wck = Literal["on-demand", "always-on"]
Activation = Literal["both", "ACT2", "ACT1"]
Page = Literal["open", "closed", "timeout"]
RequestFormat = Literal["auto", "json", "load-store", "address-op", "dramsim3", "address-vector"]
CommandFormat = Literal["lpspec", "ramulator2", "dramsim3", "drampower"]

DIE = option(
    "lpddr5-6400-8gb",
    "lpddr5-6400-8gb, lpddr5-6400-16gb, lpddr5x-7500, lpddr5x-8533, lpddr5x-9600, lpddr5x-10667, lp5x-pim, "
    "lpddr6-10667-16gb or a TOML file.",
    is_path=True,
)
DIE_CHANGES = option(
    Changes, "Change a constant of the die, as KEY=VALUE: --set memory.timing.nRCD=16. May be repeated.", flag="set"
)
RANKS = option(1, "Ranks of the channel, 1 to 8.")


@dataclass(frozen=True)
class Serving(Description):
    """A channel that serves requests."""

    KIND = "channel"

    refresh: Refresh = option("all-bank", "none, all-bank or per-bank.", choices=get_args(Refresh))
    platform: str | None = option(
        None,
        "A machine, by name or TOML file, whose die, plain ranks, controller, channels and address mapping are taken "
        "but for what else is given; --set changes its constants.",
        is_path=True,
    )
    ranks: int = RANKS
    die: str = DIE
    changes: Mapping[str, str] = DIE_CHANGES
    wck: Wck = option("on-demand", "on-demand (a CAS starts WCK) or always-on.", choices=get_args(Wck))
    page: Page = option(
        "open",
        "open keeps rows open; closed closes a row with the last queued access to it; timeout closes one that no "
        "queued request is for after --page-timeout CK.",
        choices=get_args(Page),
    )
    page_timeout: int | None = option(
        None, "CK that a row stays open without a command, 1 to 1048576; with --page timeout only, by default 256."
    )
    postpone: int = option(0, "Refreshes of nREFI each that a busy rank may put off, 0 to 8.")
    drain_high: int = option(32, "Queued writes of 32 at which writes are served instead of reads, 1 to 32.")
    drain_low: int = option(16, "Queued writes down to which writes are served while reads wait, below --drain-high.")
    age_cap: int = option(
        2048, "CK after which a request that got a place in a queue is served before any other; 0 for never."
    )
    patience: int = option(256, "CK that a read waits for an older write to its address before writes are served.")
    energy_profile: str = same_option(Scenario, "energy_profile")


@dataclass(frozen=True)
class Tracing(Description):
    """A file of requests, and how it is read."""

    KIND = "file of requests"

    format: RequestFormat = option(
        "auto",
        "json, load-store (LD 0x1240: Ramulator 2), address-op (0x1240 R: Ramulator 1), dramsim3 (0x1240 READ 30), "
        "address-vector (R 0,0,1,2,100,32: channel, rank, bank group, bank, row, column in beats: Ramulator 2) "
        "or auto: what the first line looks like. A named dramsim3 takes addresses without 0x as hexadecimal.",
        choices=get_args(RequestFormat),
    )
    address_mapping: str | None = option(
        None,
        "Fields of an address, the highest first; by default ro-ra-ba-co-bg-ch: row, rank, bank, column, bank group, "
        "channel. A field may come in parts, the lower ones with their bits: ro-ra-ba-co-bg-ch-co2. RoBaRaCoCh and "
        "ChRaBaRoCo are Ramulator 2's.",
    )
    channels: int | None = option(None, "Channels that addresses go to, 1 to 64; by default 1.")
    channel: int | None = option(
        None, "The channel that is simulated, by default 0; what goes to others is left out, and counted."
    )
    access_bytes: int | None = option(None, "Bytes of an access, a burst (32; 64 of BL48) to 4096; by default a burst.")
    interval_ck: int | None = option(
        None,
        "CK from one access to the next, for traces without times; by default 0: all are there at once, and are served "
        "as fast as can be.",
    )


@dataclass(frozen=True)
class Checking(Description):
    """A channel whose commands are checked."""

    KIND = "channel"

    ranks: int = RANKS
    pim_ranks: str | None = option(None, "Comma-separated ranks that can enter PIM mode; none if left out.")
    die: str = DIE
    changes: Mapping[str, str] = DIE_CHANGES
    wck: Wck = option(
        "on-demand", "on-demand (an access needs a CAS once WCK has stopped) or always-on.", choices=get_args(Wck)
    )
    refresh: Refresh = option(
        "none",
        "all-bank or per-bank expects every bank to be kept alive; none does not, yet refreshes must be legal.",
        choices=get_args(Refresh),
    )
    activation: Activation = option(
        "both",
        "both, ACT2 or ACT1: the halves of an activation between which nRRD and nFAW hold.",
        choices=get_args(Activation),
    )
    concurrent_ranks: int = option(8, "PIM ranks that may compute at once, as the power budget allows, 1 to 8.")
    tokens: int = option(
        1,
        "Tokens that every MAC serves at least, 1 to the ALUs of a matrix processing unit: the inputs of all of them "
        "must have arrived.",
    )
    command_buses: int = option(1, "Command buses: 1 for all ranks, or 2, one of them for the PIM ranks.")


@dataclass(frozen=True)
class Computing(Description):
    """A package that computes a product."""

    KIND = "package"

    platform: str = option("lp-spec", "lp-spec, lpddr5-pim or a TOML file with PIM.", is_path=True)
    die: str | None = option(
        None,
        "Another die than the platform names, such as lpddr5x-9600, lp5x-pim or a TOML file: short for "
        "--set memory.die.",
        is_path=True,
    )
    changes: Mapping[str, str] = option(
        Changes,
        "Change a constant of the platform or its die, as KEY=VALUE: --set memory.timing.nRCD=16. May be repeated.",
        flag="set",
    )
    verify: bool = option(
        False,
        "Compute on random INT8 data, too, and compare with integer arithmetic; exit code 1 if a result differs.",
    )
    energy_profile: str = same_option(Scenario, "energy_profile")


@dataclass(frozen=True)
class Exporting(Description):
    """A platform whose attention is exported."""

    KIND = "platform"

    platform: str = same_option(Computing, "platform")
    changes: Mapping[str, str] = same_option(Computing, "changes")
    energy_profile: str = same_option(Scenario, "energy_profile")


@dataclass(frozen=True)
class Moving(Description):
    """A package whose weights change sides."""

    KIND = "package"

    to: Literal["pim", "dram"] = option("pim", "pim or dram: the side that gets the weights.", choices=("pim", "dram"))
    platform: str = option("lp-spec", "lp-spec or a TOML file with PIM ranks and plain ones.", is_path=True)
    energy_profile: str = same_option(Scenario, "energy_profile")
