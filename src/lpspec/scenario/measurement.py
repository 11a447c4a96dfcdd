"""How acceptance was measured, where the file of the figures does not say so itself."""

from dataclasses import dataclass
from math import isfinite

from lpspec.errors import InputError
from lpspec.scenario.description import Description
from lpspec.scenario.option import option


@dataclass(frozen=True)
class Measurement(Description):
    """Whose drafts were measured, and how."""

    KIND = "measurement"

    model: str = option("not said", "The model that was measured.")
    drafter: str = option(
        "not said", "The kind of its drafter: medusa, eagle, eagle3, mtp, draft-model, prompt-lookup."
    )
    temperature: float = option(0.0, "Of the sampling when it was measured; 0 is greedy.")
    depth: int | None = option(
        None,
        "Drafts of a pass: needed for logs of SGLang, which do not say; of a table of passes, the most that one "
        "accepted if left out.",
        least=1,
    )

    def __post_init__(self) -> None:
        """Refuse a temperature that is none."""
        super().__post_init__()
        if not (isfinite(self.temperature) and self.temperature >= 0):
            raise InputError(
                f"temperature {self.temperature:g} is not possible: allowed are 0 (greedy) and numbers above"
            )
