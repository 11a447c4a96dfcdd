"""One matrix product to price, in words."""

from collections.abc import Mapping
from dataclasses import dataclass

from lpspec.scenario.description import Description
from lpspec.scenario.option import option, same_option
from lpspec.scenario.scenario import Scenario


@dataclass(frozen=True)
class Product(Description):
    """Activations (m, k) times weights (k, n), and on what."""

    KIND = "product"

    m: int = option(1, "Tokens: rows of the activations.", least=1)
    k: int = option(4096, "Inputs of each output: what is summed over.", least=1)
    n: int = option(4096, "Outputs: columns of the weights.", least=1)
    system: str = option("lp-spec", "A system as for `lpspec compare`, or a platform file.", is_path=True)
    weights: int = option(8, "Bits of a weight.", least=1)
    activations: int = option(8, "Bits of an activation.", least=1)
    energy_profile: str = same_option(Scenario, "energy_profile")
    changes: Mapping[str, str] = same_option(Scenario, "changes")
