"""What is accepted of a trace where several drafters cooperate: that of those that each pass asks, the best of any."""

from lpspec.devices.drafters import DraftersSpec
from lpspec.llm.draft_work import network_of
from lpspec.simulation.workload import System
from lpspec.speculation.cooperation import Cooperation, cooperating
from lpspec.speculation.rank_trace import RankTrace


def accepted_by(system: System, trace: RankTrace) -> RankTrace:
    """The trace itself, or that of a platform's several drafters where networks draft."""
    platform = system.platform
    if not system.speculates or network_of(system.model) is None or "drafters" not in platform.device_tables:
        return trace
    return cooperating(trace, cooperation_of(platform.device(DraftersSpec)))


def cooperation_of(spec: DraftersSpec) -> Cooperation:
    """What a platform assumes of its drafters."""
    shares = (part.fraction for part in (spec.elsewhere, spec.common, spec.kept, spec.exploration))
    return Cooperation(spec.count.n, spec.cooperating.n, *shares)
