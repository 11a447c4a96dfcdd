"""A product on a whole package: every channel computes its share of the outputs, command by command."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lpspec.dram.energy import standing_by
from lpspec.dram.pim.products import compile_gemm
from lpspec.dram.pim.weights import PimChannel, place_weights, share_of_channel
from lpspec.dram.platform_channel import channel_of_platform, controller_of_platform
from lpspec.dram.rules import ON_BUS
from lpspec.dram.run.controller import Controller
from lpspec.dram.run.simulate import ChannelRun, Take, run_channel
from lpspec.errors import InputError
from lpspec.machine.die import DieSpec
from lpspec.machine.energy_profile import Activity
from lpspec.machine.platform_spec import PlatformSpec

MOST_TOKENS = 1 << 16
LARGEST = 10**9  # beyond what any package holds
_NO_REQUESTS = np.empty((0, 5), np.int64)


@dataclass(frozen=True)
class Package:
    """Channels that work alike.

    Attributes:
        name: The platform.
        channels: How many channels.
        channel: What each is.
        controller: In front of each.
        power_down: Whether dies with all rows closed wait in power-down.
    """

    name: str
    channels: int
    channel: PimChannel
    controller: Controller
    power_down: bool = False


@dataclass(frozen=True)
class Share:
    """What some channels do alike: how many, their outputs, and the run of one of them."""

    channels: int
    n: int
    run: ChannelRun


@dataclass(frozen=True)
class PackageGemm:
    """The product of m tokens with K x N weights on a package: counts and energy of all channels together.

    Attributes:
        package: The package.
        m: Tokens.
        k: Inputs.
        n: Outputs of all channels.
        shares: What channels do, the longest share first; channels without outputs are in none.
    """

    package: Package
    m: int
    k: int
    n: int
    shares: tuple[Share, ...]

    @property
    def device(self) -> DieSpec:
        """The die of every rank."""
        return self.package.channel.device

    @property
    def total_ck(self) -> int:
        """CK until the last channel is done."""
        return max(share.run.total_ck for share in self.shares)

    @property
    def total_ns(self) -> float:
        """The same, ns."""
        return self.total_ck * self.device.ck_ns

    @property
    def command_counts(self) -> dict[str, int]:
        """Commands of all channels by name; one that several ranks take together counts once."""
        counts: Counter[str] = Counter()
        for share in self.shares:
            counts.update({name: n * share.channels for name, n in share.run.command_counts.items()})
        return dict(counts)

    @property
    def activity(self) -> Activity:
        """Events that cost energy; every channel waits until the last is done."""
        rank_ck = self.total_ck * self.package.channel.ranks
        idle = self.package.channels - sum(share.channels for share in self.shares)
        down = self.package.power_down
        total = standing_by(Activity(), self.device, rank_ck, down) * idle
        for share in self.shares:
            done = share.run.activity._replace(idle_die_ns=0.0)
            total += standing_by(done, self.device, rank_ck, down) * share.channels
        return total

    @property
    def mac_utilisation(self) -> float:
        """Multiply-accumulates of the product over those that all ranks that may compute could do in its time."""
        die, channel = self.device, self.package.channel
        per_slot = die.mpus * die.pim.lanes.n * die.pim.alus.n * channel.concurrent * self.package.channels
        return self.m * self.k * self.n * die.mac_ck / (self.total_ck * per_slot)

    @property
    def array_gb_per_s(self) -> float:
        """Bytes from banks into MPUs over the time of the product, GB/s."""
        macs = sum(share.channels * share.run.rank_counts["PIM_MAC"] for share in self.shares)
        return macs * self.device.mpus * self.device.organisation.burst_bytes.n / self.total_ns

    @property
    def dq_share(self) -> float:
        """Share of the time in which the data buses carry bursts, over all channels."""
        bursts = sum(self.command_counts.get(name, 0) for name in ON_BUS)
        return bursts * self.device.timing.nBL_min.n / (self.total_ck * self.package.channels)

    @property
    def ca_share(self) -> float:
        """Share of the slots of the command buses in use, over all channels."""
        return sum(self.command_counts.values()) / (self.total_ck * self.package.channels)


def package_of(platform: PlatformSpec) -> Package:
    """The channels of a platform with PIM.

    Raises:
        InputError: The platform has no PIM, or dies that the command level doesn't know.
    """
    channel = channel_of_platform(platform)
    assert platform.memory is not None
    power_down = platform.memory.idle_dies == "power-down"
    return Package(platform.name, platform.memory.channels.n, channel, controller_of_platform(platform), power_down)


def run_gemm(
    package: Package,
    m: int,
    k: int,
    n: int,
    *,
    take: Take | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> PackageGemm:
    """Run the product of m tokens with K x N weights, every command of one channel of each kind.

    Args:
        package: The package.
        m: Tokens.
        k: Inputs.
        n: Outputs.
        take: Given the commands of the first channel, piece by piece.
        progress: Called now and then with requests served (none) and CK reached.

    Raises:
        InputError: A size out of range, or weights that the PIM ranks can't hold.
    """
    for name, size, most in (("m", m, MOST_TOKENS), ("k", k, LARGEST), ("n", n, LARGEST)):
        if not 1 <= size <= most:
            raise InputError(f"{name} is {size}: allowed is 1 to {most}")
    channel = package.channel
    widths = Counter(share_of_channel(n, package.channels, c, channel.lanes)[1] for c in range(package.channels))
    shares = []
    for width, channels in sorted(((w, c) for w, c in widths.items() if w), reverse=True):
        lines = compile_gemm(place_weights(channel, k, width), m).lines
        run = run_channel(_NO_REQUESTS, lines, channel.device, package.controller, take=take, progress=progress)
        take = None
        shares.append(Share(channels, width, run))
    return PackageGemm(package, m, k, n, tuple(shares))
