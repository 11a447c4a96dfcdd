"""A token of Llama2-7B on one PIM rank, counted by hand, and what explains PIMScope's cycles."""

from typing import Literal

import pytest

from lpspec.experiments.pimscope_token import PUBLISHED_MILLION_CK, token_cycles

LAYERS, HEADS, WIDTH, HIDDEN, VOCABULARY, KEYS, HEAD = 32, 32, 4096, 11008, 32000, 1025, 128


def macs_by_hand(banks: int) -> int:
    """A MAC is one k of as many blocks of 32 outputs, or positions, as a die has MPUs.

    Query, key and value are one product, gate and up another. All MPUs take the same inputs, so each head's
    probabilities are multiplied by themselves, whatever MPUs its 128 outputs fill.
    """
    at_once = 32 * 16 // banks

    def product(k: int, n: int) -> int:
        return k * -(-n // at_once)

    layer = product(WIDTH, 3 * WIDTH) + product(WIDTH, WIDTH) + product(WIDTH, 2 * HIDDEN) + product(HIDDEN, WIDTH)
    attention = HEADS * (product(HEAD, KEYS) + product(KEYS, HEAD))
    return LAYERS * (layer + attention) + product(WIDTH, VOCABULARY)


@pytest.mark.parametrize("banks", [1, 2])
def test_macs_are_those_that_can_be_counted_by_hand(banks: Literal[1, 2]) -> None:
    found = token_cycles(banks, "at_once")
    assert found.macs == macs_by_hand(banks)
    assert found.columns == found.macs / banks
    assert found.macs * 8 < found.ck < found.macs * 8 * 1.1


@pytest.mark.parametrize(("banks", "ck"), [(1, 16), (2, 25)])
def test_pimscope_takes_longer_for_each_column_of_all_banks(banks: Literal[1, 2], ck: int) -> None:
    """Two MAC intervals for each 512 B with a bank per block, and three with two, where ours takes one and two."""
    columns = token_cycles(banks, "faw").columns
    assert PUBLISHED_MILLION_CK[banks] * 1e6 / columns == pytest.approx(ck, rel=0.03)
