"""A drafter of your own: what followed a token most often in this text follows it again. The text stays the model's.

Run it, with the extra lpspec[models]: python examples/custom_drafter.py
"""

from collections import Counter, defaultdict

import numpy as np
from numpy.typing import NDArray

from lpspec.decoding.confidence_tree import chain
from lpspec.decoding.drafter import Committed, Draft
from lpspec.decoding.drafters import DRAFTERS, load_drafter
from lpspec.decoding.generate import Generation
from lpspec.decoding.llama_weights import random_weights
from lpspec.decoding.model_config import ModelConfig
from lpspec.decoding.transformer import Transformer
from lpspec.llm.llama_spec import llama_spec


class Bigrams:
    """Counts which token follows which, and drafts a chain of the most frequent."""

    depth = 4
    taps: tuple[int, ...] = ()

    def start(self, prompt: NDArray[np.int64], known: Committed) -> None:
        """Begin a text: the prompt's first token, then all that is known after it."""
        self.after: defaultdict[int, Counter[int]] = defaultdict(Counter)
        self.last = int(prompt[0])
        self._read(known)

    def draft(self, price: NDArray[np.float64]) -> Draft:
        """Guess token after token, each as likely as it was frequent; the price says how many are worth it."""
        tokens: list[int] = []
        shares: list[float] = []
        token = self.last
        while self.after[token] and len(tokens) < self.depth:
            followers = self.after[token]
            [(token, times)] = followers.most_common(1)
            tokens.append(token)
            shares.append(times / (followers.total() + 1))
        return chain(np.array(tokens, np.int64), np.cumprod(shares, dtype=np.float64), price)

    def observe(self, draft: Draft, known: Committed) -> None:
        """Learn from what the verify pass committed."""
        self._read(known)

    def _read(self, known: Committed) -> None:
        for token in known.tokens.tolist():
            self.after[self.last][token] += 1
            self.last = token


def main() -> None:
    """Decode with it and without, on a small random model."""
    DRAFTERS["bigrams"] = lambda model, source: Bigrams()
    spec = llama_spec(
        name="random", source="random weights", layers=2, hidden_size=64, intermediate_size=96, heads=4, kv_heads=2,
        head_dim=16, vocab_size=64, tied_embeddings=False, qkv_bias=False, max_context=512,
    )  # fmt: skip
    config = ModelConfig(spec=spec)
    model = Transformer(config, random_weights(config, seed=0, scale=0.12))
    texts = []
    for name in ("none", "bigrams"):
        generation = Generation(model, [1, 2, 3, 4], 200, load_drafter(name, model), max_tree=5)
        passes = len(list(generation))
        texts.append(generation.tokens)
        print(f"{name:8} {passes:4} passes, {(len(generation.tokens) - 1) / passes:5.2f} tokens per pass")
    print("the same text" if texts[0] == texts[1] else "another text")


if __name__ == "__main__":
    main()
