"""This machine as a platform: prices measured now, or read from the file of an earlier calibration."""

from collections.abc import Callable

from lpspec.decoding.calibrate import calibrate
from lpspec.decoding.machine_prices import MachinePrices, load_prices
from lpspec.errors import InputError
from lpspec.experiments.decoder import Decoder


def machine_prices(
    decoder: Decoder,
    longest: int,
    file: str | None = None,
    say: Callable[[float], None] = lambda done: None,
    budget_s: float = 10.0,
) -> MachinePrices:
    """Prices of a decoder's steps on this machine.

    Args:
        decoder: Model and drafter.
        longest: Longest context, tokens.
        file: Prices measured before; None to measure now.
        say: Told which part of the measuring is done.
        budget_s: Time to spend on measuring, beyond three rounds.

    Raises:
        InputError: The file is unsound, or of another model, drafter, precision or backend.
    """
    if file is None:
        return calibrate(decoder.model, decoder.drafter, decoder.drafter_name, decoder.dtype, longest, budget_s, say)
    prices = load_prices(file)
    backend = decoder.model.computing.backend.name
    here = (decoder.model.config.spec.name, decoder.drafter_name, decoder.dtype, f"backend {backend}")
    measured = prices.machine.get("backend", "unnamed")
    there = (prices.model, prices.drafter, str(prices.machine.get("dtype")), f"backend {measured}")
    if here != there:
        raise InputError(f"price list '{file}' is of {', '.join(there)}; wanted is one of {', '.join(here)}")
    return prices


def check_calibration(longest: int, budget_s: float) -> None:
    """Refuse a calibration that cannot be, before a model is loaded.

    Raises:
        InputError: A length or time is out of range.
    """
    if longest < 1:
        raise InputError(f"--longest {longest} is not possible: 1 token is the least")
    if not 0 < budget_s < float("inf"):
        raise InputError(f"--seconds {budget_s:g} is not possible: a number above 0 is needed")
