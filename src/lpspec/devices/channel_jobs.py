"""What one channel does in each phase, with what a phase is like: PIM programs, appends to the cache, moves."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np

from lpspec.arrays import IntArray
from lpspec.devices.kv_append import columns_of_keys
from lpspec.devices.kv_share import Heads, KvShare
from lpspec.devices.phase_prices import Job, Kin, Prices, Work
from lpspec.devices.pim_programs import PimPrograms
from lpspec.devices.pim_work import counts_of, each_count
from lpspec.devices.stream_jobs import StreamJobs, as_reads, nothing
from lpspec.dram.engine.state import BANKS, BEATS
from lpspec.dram.pim.cache import KvPlacement
from lpspec.dram.pim.moves import plan_between_sides
from lpspec.dram.pim.products import compile_gemm, compile_scores, compile_values
from lpspec.dram.pim.weights import PimChannel, Split, place_weights
from lpspec.dram.run.mover import repeated_move
from lpspec.dram.run.session import PhaseCommands
from lpspec.llm.counts import ceil_div
from lpspec.machine.die import DieSpec
from lpspec.machine.pim_format import INT8, PimFormat
from lpspec.machine.platform_spec import PlatformSpec

SHORT_TILES = 12
"""Tiles beyond which a product refreshes as one of so many does."""

SOME_DIES = 4
"""Dies that share the time of a program, about."""

LONGEST_TILES = 20
"""Tiles up to which it is not made shorter: its length decides how it keeps in step with refresh."""

BRIEF_TILES = 1
"""Tiles of a product by which is found what refresh adds to reads beside it."""

BRIEF_KEYS = 64
"""Keys of the head that goes before copies of attention."""


class _Product(NamedTuple):
    """What is asked of a channel: some columns of a product, as its weights lie."""

    channel: PimChannel
    tokens: int
    k: int
    width: int
    k_split: bool


class ChannelJobs(StreamJobs):
    """Makes the jobs of the channel of a platform that has the most to do: its PIM ranks' and its plain ranks'."""

    def __init__(self, platform: PlatformSpec, device: DieSpec, pim: PimChannel | None, prices: Prices) -> None:
        """Take a platform with a package, its die, its PIM ranks, and what prices jobs."""
        super().__init__(platform, device, prices)
        self._platform, self._closed_forms, self.pim = platform, dict[int, PimPrograms](), pim
        pim_key = json.dumps(device.model_dump(mode="json", include={"pim_side"}))
        self._computing: dict[tuple[int, PimFormat], PimChannel] = {}
        self._products: dict[tuple[Any, ...], Callable[[int, int], Job]] = {}
        self._mac_ck = device.mac_ck
        self._geometry = _geometry(device), pim and (pim.pim_ranks, pim.pairs_between_refreshes)
        self._feature_ck = dict[int, tuple[float, ...]]()
        self._pim_key = repr((self._memory_key, pim_key, pim and pim.pim_ranks, prices.controller.own_bus))
        self._layout_key = repr((self._memory_key, pim and (pim.pim_ranks, pim.ranks, pim.banks_per_mpu, pim.lanes)))

    def product(self, channel: PimChannel, tokens: int, k: int, width: int, bursts: int, k_split: bool = False) -> Job:
        """A product of which PIM computes some columns; with ``k_split`` ranks share the k of units left over."""
        return self._product(_Product(channel, tokens, k, width, k_split), bursts, 0)

    def _product(self, asked: "_Product", bursts: int, mac_ck: int) -> Job:
        """The same; ``mac_ck`` is 0 for MACs as fast as the die takes them."""
        key = (asked.channel.concurrent, asked.channel.form, *asked[1:])
        if key not in self._products:
            self._products[key] = self._product_beside(asked)
        return self._products[key](bursts, mac_ck)

    def _product_beside(self, asked: "_Product") -> Callable[[int, int], Job]:
        """A product with any number of bursts read beside it."""
        channel, tokens, k, width, k_split = asked
        narrow_form = _narrow(channel.form)

        def compiled() -> IntArray:
            split: Split = "left-over" if k_split else "never"
            return compile_gemm(place_weights(channel, k, width, split=split), tokens).lines

        def program() -> IntArray:
            return _lines((*self._geometry, *asked[1:], channel.concurrent, *narrow_form), compiled)

        unit, tile = channel.unit_outputs, channel.unit_outputs * channel.concurrent
        work = self._closed(channel.concurrent).gemm(tokens, k, width * self.channels, channel.form, k_split)
        counts = tuple(float(count) for count in each_count(work))

        @cache
        def beside(bursts: int, mac_ck: int) -> Job:
            def narrow(n: int, bursts: int) -> Job:
                return self._product(asked._replace(width=n), bursts, mac_ck)

            def smaller() -> list[Job]:
                few = (unit, *((2 * unit, 4 * unit) if k_split else ()), tile, 2 * tile, 3 * tile)
                return [narrow(n, 0) for n in few if n < width]

            def of_tiles(tiles: int, bursts: int) -> Job:
                most = tiles * tile
                return beside(bursts, mac_ck) if width <= most else narrow(most, bursts * most // width)

            enough = SHORT_TILES if width > LONGEST_TILES * tile else LONGEST_TILES
            shorter, brief = partial(of_tiles, enough), partial(of_tiles, BRIEF_TILES)
            before = (lambda: brief(bursts).work) if self._together(channel.concurrent) else None
            others = partial(beside, mac_ck=mac_ck), smaller, shorter, brief, before, False, width / tile, of_tiles
            family = ("product", channel.concurrent, *(("k",) if k_split else ()), *narrow_form)
            kin = self._kin(family, counts, (k, width), (bursts, mac_ck), others)
            key = (self._pim_key, *family[:1], tokens, k, width, *family[1:], bursts, mac_ck)
            run = Work(program, self.stream(bursts), mac_ck or None, channel.form)
            return self._paced(Job(key, run, kin=kin), beside)

        return beside

    def heads(self, what: str, heads: Heads, bursts: int) -> Job:
        """Scores or values."""
        (job,) = self.all_heads(what, heads.share, [(int(heads.pim), int(heads.queries), int(heads.keys), bursts)])
        return job

    def all_heads(self, what: str, share: KvShare, rows: Sequence[tuple[int, int, int, int]]) -> list[Job]:
        """The same of several: key-value heads on PIM, queries, keys, and bursts read beside of each."""
        if not rows:
            return []
        closed, (pim_heads, queries, keys, _) = self._closed(share.concurrent), np.array(rows, np.int64).T
        asked = Heads(pim_heads, share, queries, keys)
        work = closed.scores_of(asked) if what == "scores" else closed.served_values(asked)
        counts = counts_of(work, len(rows))
        on_channel = np.broadcast_to(share.channel_keys(keys), len(rows)).tolist()
        of_channel = np.broadcast_to(ceil_div(pim_heads, share.quantum), len(rows)).tolist()
        mean = np.broadcast_to(share.mean_share(pim_heads), len(rows)).tolist()
        in_turn = np.broadcast_to(work.in_turn, len(rows)).tolist()
        sizes = zip(rows, counts, of_channel, on_channel, mean, strict=True)
        dealings = [(share, (*_dealing(share), *(("in turn",) if turn else ()))) for turn in in_turn]
        return [
            self._heads(what, dealt, (of, row[1], on), count, one)(row[3], 0)
            for dealt, (row, count, of, on, one) in zip(dealings, sizes, strict=True)
        ]

    def _heads(
        self,
        what: str,
        dealt: tuple[KvShare, tuple[int | str, ...]],
        sizes: tuple[int, int, int],
        counts: tuple[float, ...],
        mean_share: float,
    ) -> Callable[[int, int], Job]:
        """Scores or values of heads of a channel, queries and keys, with any number of bursts read beside."""
        (share, dealing), (of_channel, queries, on_channel) = dealt, sizes

        def compiled(heads: int, keys: int) -> IntArray:
            kv = self._placement(share, keys)
            if what == "values":
                return compile_values(kv, keys, queries, heads=heads).lines
            return compile_scores(kv, keys, queries, heads=heads, in_turn="in turn" in dealing).lines

        def program(heads: int = of_channel, keys: int = on_channel) -> IntArray:
            return _lines((*self._geometry, what, *dealing, heads, queries, keys), lambda: compiled(heads, keys))

        def beside(bursts: int, mac_ck: int = 0) -> Job:
            def before() -> Work:
                keys = min(on_channel, BRIEF_KEYS)
                some = self.stream(bursts * keys // (of_channel * on_channel))
                return asked._replace(program=partial(program, 1, keys), requests=some)

            asked = Work(program, self.stream(bursts), mac_ck or None, share.form)
            paced = partial(beside, mac_ck=mac_ck)
            others = paced, tuple, paced, paced, before if self._together(share.concurrent) else None
            kin = self._kin((what, *dealing), counts, (), (bursts, mac_ck), others)
            key = (self._pim_key, what, of_channel, *dealing, queries, on_channel, bursts, mac_ck)
            return self._paced(Job(key, asked, mean_share, kin), beside)

        return beside

    def _together(self, concurrent: int) -> bool:
        """Whether all PIM ranks compute at once; where not, how copies meet refresh hangs on what goes before."""
        return self.pim is not None and concurrent == len(self.pim.pim_ranks)

    def _paced(self, job: Job, beside: Callable[[int, int], Job]) -> Job:
        """The same, which may also run with MACs a CK further apart.

        MACs an odd number of CK apart fall out of step with reads, which take an even one: the bus then idles for a CK
        beside every other MAC, and what it binds may end sooner with MACs a CK further apart.
        """
        slower_ck = self._mac_ck + 1
        if job.kin is None or not job.kin.bursts or job.work.mac_ck is not None or slower_ck % 2:
            return job
        return job._replace(slower=beside(job.kin.bursts, slower_ck))

    def _kin(
        self,
        family: tuple[Any, ...],
        counts: tuple[float, ...],
        shape: tuple[Any, ...],
        beside: tuple[int, int],
        others: tuple[Any, ...],
    ) -> Kin:
        """What a program is like, by ``each_count``.

        ``beside``: bursts read beside, CK between MACs; ``others``: the fields of ``Kin`` from ``beside`` on.
        """
        bursts, mac_ck = beside
        macs, *_, into, out, token_macs = counts[1:]
        ck = macs * (mac_ck or self._mac_ck) + out * self._other_ck[-1]
        feature_ck, features = self._count_ck(mac_ck or self._mac_ck), (1.0, *counts[:-1])
        return Kin((*family, mac_ck), features, feature_ck, ck, bursts, into + out, token_macs, shape, *others)

    def _count_ck(self, mac_ck: int) -> tuple[float, ...]:
        """About how many CK a program takes, and one more of each of ``PROGRAM_COUNTS``; a die works beside others."""
        if mac_ck not in self._feature_ck:
            opened, row, turn, burst = self._other_ck
            times = float(opened), float(mac_ck), float(row)
            each = *times, *(ck / SOME_DIES for ck in times), float(turn), float(burst), float(burst)
            self._feature_ck[mac_ck] = 2.0 * self.device.mode_ck, *each
        return self._feature_ck[mac_ck]

    def _closed(self, ranks: int) -> PimPrograms:
        """The closed forms of the same dies with so many ranks computing at once."""
        if ranks not in self._closed_forms:
            assert self._platform.pim is not None
            assert self._platform.memory is not None
            at_once = self._platform.pim.concurrent_ranks.model_copy(update={"value": ranks})
            pim = self._platform.pim.model_copy(update={"concurrent_ranks": at_once})
            self._closed_forms[ranks] = PimPrograms(pim, self._platform.memory)
        return self._closed_forms[ranks]

    def _placement(self, share: KvShare, keys: int) -> KvPlacement:
        widths = share.head_dim, share.value_dim
        channel = self.computing(share.concurrent, share.form)
        return KvPlacement(channel, share.on_channel, widths[0], keys, parts=share.parts, value_dim=widths[1])

    def computing(self, ranks: int, form: PimFormat = INT8) -> PimChannel:
        """The channel with so many PIM ranks computing at once, which may be fewer than it allows, in a format."""
        assert self.pim is not None
        if (ranks, form) not in self._computing:
            self._computing[ranks, form] = replace(self.pim, concurrent=ranks, form=form)
        return self._computing[ranks, form]

    def append(self, share: KvShare, blocks: int, tokens: int, read_first: bool) -> Job:
        """New keys and values of one layer are written into the PIM ranks."""

        def placed() -> IntArray:
            channel = self.computing(share.concurrent, share.form)
            lanes = channel.lanes
            columns = int(columns_of_keys(blocks, lanes // channel.device.pim.lanes.n))
            kv = self._placement(share, (columns + 1) * lanes + tokens)
            position = lanes - 1 if columns > ceil_div(tokens, lanes) else 0
            places = kv.append_places(position, tokens)
            writes = _requests(places, read_first)
            if not share.form.shares_bytes:
                return writes
            return np.concatenate([as_reads(_requests(kv.append_places(position, tokens, keys_only=True))), writes])

        def writes() -> IntArray:
            return _lines(key, placed)

        # The positions of one row lie on one of the channels that share a head. How MPUs compute matters to no write.
        key = (self._layout_key, "append", *_dealing(share), blocks, tokens, read_first)
        family = "moved" if read_first else "append", *_dealing(share), blocks
        kin = Kin(family, (1.0, float(tokens)), (4000.0 * blocks, 60.0), 4000.0 * blocks)
        return Job(key, Work(nothing, writes), 1 / share.spread, kin)

    def move(self, column_bytes: int, width: int, to_pim: bool) -> Job:
        """So many columns of the channel change sides."""
        channel = self.pim
        assert channel is not None

        def run() -> PhaseCommands:
            plan = plan_between_sides(channel, column_bytes, width, to_pim)
            return repeated_move(plan, self.device, self.prices.controller)

        return Job((self._pim_key, "move", column_bytes, width, to_pim), Work(nothing, nothing), run=run)


def _geometry(device: DieSpec) -> str:
    """What of a die decides the lines of its programs beside how far refresh points lie apart: all but times."""
    sides = device.model_dump(mode="json", include={"organisation": True, "pim_side": True})
    for time in ("mac_interval", "mode_switch"):
        if sides["pim_side"]:
            del sides["pim_side"][time]
    return json.dumps(sides)


_MOST_LINES = 1 << 12
_LINES: dict[tuple[Any, ...], IntArray] = {}


def _lines(key: tuple[Any, ...], make: Callable[[], IntArray]) -> IntArray:
    """A program or its like, made once for all dies of one geometry."""
    if key not in _LINES:
        if len(_LINES) >= _MOST_LINES:
            _LINES.clear()
        _LINES[key] = make()
    return _LINES[key]


def _dealing(share: KvShare) -> tuple[int | str, ...]:
    """What of it decides the commands of one channel."""
    narrow = _narrow(share.form)
    return share.on_channel, share.parts, share.concurrent, share.head_dim, share.value_width, *narrow


def _narrow(form: PimFormat) -> tuple[str, ...]:
    """A format in the names of what is priced, where it is another than INT8."""
    return (form.name,) if form != INT8 else ()


def _requests(places: IntArray, read_first: bool = False) -> IntArray:
    """Writes to places (rank, flat bank, row, column), read before if asked for."""
    zero = np.zeros(len(places), np.int64)
    table = np.stack([zero, zero + 1, places[:, 0] * BANKS + places[:, 1], places[:, 2], places[:, 3] * BEATS], 1)
    return np.concatenate([as_reads(table), table]) if read_first else table
