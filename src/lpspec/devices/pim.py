"""The PIM ranks of a package as a device: what their programs cost, beside what crosses the bus."""

from collections.abc import Iterator
from math import isclose
from typing import Self

import numpy as np

from lpspec.devices.cost import Cost, Real, off_chip_read
from lpspec.devices.device import Identity, PhasePart
from lpspec.devices.kv_share import Heads, KeyShare
from lpspec.devices.package_commands import MemoryPart, PackageCommands
from lpspec.devices.pim_format import check_format, format_of
from lpspec.devices.pim_programs import PimPrograms
from lpspec.errors import InputError
from lpspec.llm.counts import Count, plain
from lpspec.llm.operators import Attention, Gemm, PlainOperator
from lpspec.machine.platform_spec import PimSpec, PlatformSpec


class LpddrPim(PimPrograms):
    """Costs of products on the PIM ranks of a package, and the bus traffic that they cause."""

    Spec = PimSpec
    stands_alone = False
    lays_out_arrays = True

    @classmethod
    def of(cls, platform: PlatformSpec) -> Self:
        """The PIM dies of a platform that has them, which always has a package."""
        assert platform.memory is not None
        return cls(platform.device(PimSpec), platform.memory)

    def describe(self) -> Iterator[Identity]:
        """Throughput, bandwidth in the array, times in CK, and the tile."""
        pim, memory = self.spec, self.memory
        dies = pim.concurrent_ranks.n * memory.dies_per_rank
        yield Identity("pim_die", self.die.pim_gops, "GOPS", "INT8, one die")
        yield Identity("pim_all", self.die.pim_gops * dies / 1e3, "TOPS", f"INT8, the {dies} dies that compute at once")
        yield Identity("pim_die_bandwidth", self.die.pim_gb_per_s, "GB/s", "from the banks of a die into its MPUs")
        yield Identity("in_array", self.die.pim_gb_per_s * dies, "GB/s", f"into the MPUs of {dies} dies")
        ck = f"CK of {memory.ck_ns:.4g} ns"
        for key, duration in (("mac_interval", pim.mac_interval), ("mode_switch", pim.mode_switch)):
            in_ck = memory.in_ck(duration)
            is_whole = isclose(in_ck * memory.ck_ns, duration.ns, rel_tol=1e-6)
            rounded = "" if is_whole else f"; {duration.text()} is rounded up"
            yield Identity(f"{key}_ck", in_ck, ck, f"at command level{rounded}")
        yield Identity("pim_tile", self.tile_columns, "outputs", "of one tile over those dies")

    def phase_parts(self, op: PlainOperator, amount: Count | KeyShare | None = None) -> tuple[PhasePart, ...]:
        """Programs of the package; inputs and results cross the bus beside what others read.

        Raises:
            InputError: The operator is neither a product nor attention.
        """
        if isinstance(op, Gemm):
            assert not isinstance(amount, KeyShare)
            n, tokens, k = op.n if amount is None else amount, plain(op.tokens), op.k
            ranks, form, split = self.spec.concurrent_ranks.n, format_of(op), op.name in self.k_split

            def product(memory: PackageCommands, read_bytes: Real) -> MemoryPart:
                return memory.product(tokens, k, n, memory.jobs.computing(ranks, form), read_bytes, split)

            return (PhasePart(op.name, activity=self.added(op, n), in_memory=product, amount=n),)
        if not isinstance(op, Attention):
            raise InputError(f"PIM computes products and attention: '{op.name}' is neither")
        on_pim = op.kv_heads if amount is None else amount
        share = on_pim if isinstance(on_pim, KeyShare) else KeyShare(on_pim, plain(op.keys), plain(op.keys))
        scores, values = (
            Heads(plain(share.heads * (keys > 0)), self.kv_share(op), plain(op.queries), plain(keys))
            for keys in (share.scores_keys, share.values_keys)
        )
        keys_scales, values_scales = (op.scale_bytes * half.pim * half.keys for half in (scores, values))
        return (
            PhasePart(
                "scores", keys_scales, in_memory=lambda memory, read: memory.scores(scores, read), amount=scores.pim
            ),
            PhasePart(
                "values", values_scales, in_memory=lambda memory, read: memory.values(values, read), amount=values.pim
            ),
        )

    def price(self, op: PlainOperator) -> Cost:
        """Cost of all copies of a product computed by PIM alone, the bus serving nothing else.

        Raises:
            InputError: The operator is neither a product nor attention.
        """
        if not isinstance(op, Gemm | Attention):
            raise InputError(f"PIM computes products and attention: '{op.name}' is neither")
        self.check_precision(op)
        if isinstance(op, Gemm):
            works = [self.product(op, op.n)]
        else:
            works = [self.scores(op, op.kv_heads), self.values(op, op.kv_heads)]
        scales_bytes = op.scale_bytes * op.kv_heads * op.keys if isinstance(op, Attention) else 0
        total = Cost(0.0, self.added(op, op.n) * float(op.count)) if isinstance(op, Gemm) else Cost()
        for work in works:
            took_ns = np.maximum(self.busy_ns(work), self.bus_ns(work, scales_bytes))
            total += Cost(took_ns, self.activity(work) + off_chip_read(scales_bytes)) * float(op.count)
        return total

    def check_precision(self, op: Gemm | Attention) -> None:
        """Refuse operands that the units cannot take."""
        check_format(self.spec, op)
