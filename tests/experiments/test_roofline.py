"""Passes and roofs are what their definition gives by hand."""

import pytest

from lpspec.experiments.roofline import pass_work, roofs
from lpspec.llm import load_model
from lpspec.machine.loading import load_platform


@pytest.mark.parametrize("tokens", [1, 4, 16])
def test_an_int8_model_does_two_operations_on_each_byte_for_each_token(tokens: int) -> None:
    work = pass_work(load_model("llama2-7b"), tokens)
    layer = 4 * 4096**2 + 3 * 4096 * 11008
    assert work.weight_bytes == 32 * layer + 4096 * 32000
    assert work.ops_per_byte == pytest.approx(2 * tokens)


def test_roofs_are_those_of_the_data_sheet() -> None:
    found = roofs(load_platform("lp-spec"))
    assert found.gb_per_s == pytest.approx({"off_chip_sustained": 51.2, "in_array": 614.4})
    assert found.tops == pytest.approx({"npu_matrix": 32.768, "pim_all": 4.9152})
    assert roofs(load_platform("rtx3090")).tops == {}
    assert roofs(load_platform("rtx3090")).gb_per_s == pytest.approx({"off_chip_sustained": 795.6})
