"""What the fast engine learns in one program holds in another, also where that one ends."""

import pytest
from pim_help import die

from lpspec.dram.controller import Controller
from lpspec.dram.fast import forget, run_fast
from lpspec.dram.gemm import compile_gemm
from lpspec.dram.layout import PimChannel, place_weights
from lpspec.dram.simulate import run_channel


@pytest.mark.xfail(
    strict=False, reason="a jump learnt in a program of two tiles is taken at the end of one of one tile"
)
def test_a_program_that_ends_where_another_went_on_is_run_to_its_end() -> None:
    """Two tiles, then one: the same lines up to the end of the first tile, of 4096 inputs each."""
    channel = PimChannel(die(), (0, 1, 2), ranks=4)
    controller = Controller(ranks=4)
    forget()
    for outputs in (1024, 768):
        lines = compile_gemm(place_weights(channel, 4096, outputs, split="never"), 1).lines
        fast = run_fast(lines, channel.device, controller).run
        assert fast.total_ck == run_channel([], lines, channel.device, controller).total_ck
