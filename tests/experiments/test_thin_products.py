"""Energy and time of thin products lie where other simulators put them, each under its own assumptions."""

import pytest

from lpspec.experiments.thin_products import (
    ARRAYS_US,
    PASS_MS,
    THIN_PEERS,
    TOKENS,
    ThinPeer,
    arrays_us,
    pass_ms,
    thin_energy_mj,
)

BEFORE_MJ = (216.2, 222.6, 248.0, 350.0)
"""Inputs, outputs and weights charged once in each buffer, as it was: below every peer."""


@pytest.mark.parametrize("peer", THIN_PEERS, ids=lambda peer: peer.id)
def test_energy_is_the_peers_under_its_assumptions(peer: ThinPeer) -> None:
    for tokens, published_mj in zip(TOKENS, peer.published_mj, strict=True):
        assert thin_energy_mj(peer, tokens) == pytest.approx(published_mj, rel=0.025)


def test_every_access_charged_energy_lies_among_the_peers() -> None:
    for i, tokens in enumerate(TOKENS):
        published = [peer.published_mj[i] for peer in THIN_PEERS]
        found = thin_energy_mj(THIN_PEERS[0], tokens, as_charged=False)
        assert min(published) < found < 1.001 * max(published)
        assert found > BEFORE_MJ[i] * 1.09


def test_time_is_the_peers() -> None:
    for tokens in TOKENS:
        for low, high in PASS_MS.values():
            assert 0.98 * low < pass_ms(tokens) < high
    for tokens, published_us in ARRAYS_US.items():
        assert arrays_us(tokens) == pytest.approx(published_us, rel=0.01)
