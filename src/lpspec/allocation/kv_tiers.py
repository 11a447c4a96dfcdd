"""Weights in the dense tier of the HBM, the cache in the computing one, what finds no room there in the dense one.

Every running request reads its whole cache in every pass, so no page of it is colder than another: those that find no
room above are spread evenly. Which pages of requests that wait are evicted is not modelled.
"""

from lpspec.allocation.single import AttentionInHbm
from lpspec.devices.cost import Cost
from lpspec.devices.gpu import Gpu
from lpspec.devices.hbm_tiers import HbmTiers, HbmTiersSpec
from lpspec.errors import InputError
from lpspec.llm.model_spec import ModelSpec
from lpspec.llm.operators import Attention
from lpspec.machine.platform_spec import PlatformSpec
from lpspec.machine.quantity import Bandwidth


class KvTiers(AttentionInHbm):
    """TokenStack: HBM in two tiers, of which the banks of one compute attention."""

    def __init__(self, platform: PlatformSpec, model: ModelSpec, max_tokens: int, max_context: int) -> None:
        """Find out which part of the longest cache is hot, and how fast weights are read where they lie.

        Raises:
            InputError: The platform has no GPU or no tiers, or they have no room for the cache.
        """
        if platform.gpu is None or "hbm_tiers" not in platform.device_tables:
            raise InputError(f"platform '{platform.name}': allocator kv-tiers needs [gpu] and [hbm_tiers]")
        spec = platform.device(HbmTiersSpec)
        weights, cache = model.weight_bytes + model.draft_weight_bytes, model.cache_bytes(max_context + max_tokens)
        hot_room = spec.hot_room_bytes(weights)
        room = hot_room + spec.cold_room_bytes(weights)
        if cache > room or hot_room <= 0:
            raise InputError(
                f"{model.name} does not fit {platform.name}: the cache of {max_context + max_tokens} tokens needs "
                f"{cache / 2**30:.2f} GiB, beside the weights its tiers hold {max(room, 0) / 2**30:.2f} GiB of it"
            )
        gb_per_s = min(spec.weight_gb_per_s(weights), platform.gpu.bandwidth.gb_per_s)
        weights_from = Bandwidth.model_construct(value=gb_per_s, source="where the weights lie")
        self.gpu = Gpu(platform.gpu.model_copy(update={"bandwidth": weights_from}))
        self.tiers = HbmTiers(spec, hot_room / max(cache, hot_room))

    def _attention(self, op: Attention) -> Cost:
        return self.tiers.price(op) + self.gpu.kv_write(op)
