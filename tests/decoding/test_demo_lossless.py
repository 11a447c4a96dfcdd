"""The text depends neither on who drafts nor on the tree or what sizes it: the demo model over 200 prompts and more."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from lossless import first_parting
from tiny_llama import tiny_llama

from lpspec.arrays import FloatArray, IntArray
from lpspec.decoding.calibrate import calibrate
from lpspec.decoding.drafter import Drafter, NoDrafter
from lpspec.decoding.drafters import load_drafter
from lpspec.decoding.drafters.draft_model import DraftModel
from lpspec.decoding.drafters.medusa import Medusa
from lpspec.decoding.generate import Generation, Price, fixed_size
from lpspec.decoding.model_files import demo_folder
from lpspec.decoding.tokenizer import load_tokenizer
from lpspec.decoding.transformer import Transformer, load_transformer
from lpspec.experiments.step_pricing import live_costs, with_real_heads
from lpspec.experiments.systems import make_system
from lpspec.scenario.names import OBJECTIVES
from lpspec.speculation.pruner import FixedTree
from lpspec.speculation.token_tree import TokenTree

BESIDE_THE_REPOSITORY = Path(__file__).parents[3] / "shared/data/prompts"
PER_FILE = 53
PROMPT_TOKENS, NEW_TOKENS = 32, 6
LONG = 96
CONTEXTS = PROMPT_TOKENS + LONG

FIXED = TokenTree.from_paths([(0,), (1,), (2,), (0, 0), (0, 1), (1, 0), (0, 0, 0), (0, 0, 0, 0)])


def built_in_prompts() -> Iterator[str]:
    names, things = ("Anna", "Ben", "Carl", "Dora", "Eve"), ("pens", "eggs", "books", "coins")
    for name, thing, count in itertools.product(names, things, (3, 7, 12, 40, 150)):
        yield f"Q: {name} has {count} {thing} and gives away {count // 3}. How many {thing} are left?\nA:"
    speakers, deeds = ("KING", "First Lord", "NURSE", "GHOST", "Messenger"), ("speak", "fight", "love", "weep", "sail")
    for speaker, deed, day in itertools.product(speakers, deeds, ("night", "morning", "winter", "feast")):
        yield f"{speaker}:\nI will not {deed} this {day}, my lord, for"


def prompts() -> list[str]:
    files = sorted(BESIDE_THE_REPOSITORY.glob("*.jsonl"))
    lines = [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()[:PER_FILE]]
    return [line["turns"][0] for line in lines] or list(built_in_prompts())


@pytest.fixture(scope="module")
def model() -> Transformer:
    return load_transformer(demo_folder())


@pytest.fixture(scope="module")
def tokens() -> list[IntArray]:
    tokenizer = load_tokenizer(demo_folder())
    return [np.array(tokenizer.encode(prompt)[:PROMPT_TOKENS]) for prompt in prompts()]


class PlainTexts:
    """What plain decoding makes of every prompt, decoded once."""

    def __init__(self, model: Transformer) -> None:
        self.model = model
        self.known: dict[tuple[bytes, int], list[int]] = {}

    def of(self, prompt: IntArray, new_tokens: int = NEW_TOKENS) -> list[int]:
        key = (prompt.tobytes(), new_tokens)
        if key not in self.known:
            self.known[key] = decode(self.model, prompt, NoDrafter(), fixed_size(1), new_tokens)
        return self.known[key]


@pytest.fixture(scope="module")
def plain(model: Transformer) -> PlainTexts:
    return PlainTexts(model)


def decode(
    model: Transformer, prompt: IntArray, drafter: Drafter, price: Price, new_tokens: int = NEW_TOKENS
) -> list[int]:
    generation = Generation(model, prompt, new_tokens, drafter, price=price)
    list(generation)
    return generation.tokens


def drafter_of(name: str, model: Transformer) -> Drafter:
    if name == "draft-model":
        spec = model.config.spec
        return DraftModel(tiny_llama(vocab_size=spec.vocab_size, max_context=spec.max_context), depth=3, width=3)
    return load_drafter(name, model, demo_folder() / name)


def platform_price(model: Transformer, drafter: Drafter, objective: str) -> Price:
    system = with_real_heads(make_system("lp-spec", model.config.spec), drafter)
    rows: FloatArray = live_costs(system, drafter, 1, CONTEXTS).prices(next(o for o in OBJECTIVES if o == objective))[0]
    if not isinstance(drafter, Medusa):  # only Medusa heads are told what heads cost one by one
        rows = rows[:, 0]
    return lambda context: rows[context - 1]


def machine_price(model: Transformer, drafter: Drafter) -> Price:
    return calibrate(model, drafter, "drafter", "float32", CONTEXTS, budget_s=0.1)


def assert_same_texts(
    plain: PlainTexts, tokens: list[IntArray], drafter: Drafter, price: Price, new_tokens: int = NEW_TOKENS
) -> None:
    partings = [
        first_parting(plain.model, prompt.tolist(), plain.of(prompt, new_tokens), text)
        for prompt in tokens
        for text in [decode(plain.model, prompt, drafter, price, new_tokens)]
    ]
    found = [parting for parting in partings if parting is not None]
    assert all(parting.close_call for parting in found)
    assert len(found) <= 1 + len(tokens) // 50, "so many close calls are no accident"


def test_there_are_prompts_enough(tokens: list[IntArray]) -> None:
    assert len(set(built_in_prompts())) >= 200
    assert len({tuple(prompt.tolist()) for prompt in tokens}) >= 200


@pytest.mark.slow
@pytest.mark.parametrize("price", ["throughput", "energy", "edp", "machine", "63"])
@pytest.mark.parametrize("name", ["medusa", "eagle", "draft-model", "prompt-lookup"])
def test_greedy_text_is_the_models_own(plain: PlainTexts, tokens: list[IntArray], name: str, price: str) -> None:
    drafter = drafter_of(name, plain.model)
    if price.isdecimal():
        assert_same_texts(plain, tokens, drafter, fixed_size(int(price)))
    elif price == "machine":
        assert_same_texts(plain, tokens, drafter, machine_price(plain.model, drafter))
    else:
        assert_same_texts(plain, tokens, drafter, platform_price(plain.model, drafter, price))


@pytest.mark.slow
def test_a_fixed_tree_changes_nothing_either(plain: PlainTexts, tokens: list[IntArray]) -> None:
    medusa = drafter_of("medusa", plain.model)
    assert isinstance(medusa, Medusa)
    assert_same_texts(plain, tokens, Medusa(medusa.heads, FixedTree(FIXED)), fixed_size(FIXED.size))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["medusa", "eagle", "draft-model", "prompt-lookup"])
def test_long_texts_are_the_models_own(plain: PlainTexts, tokens: list[IntArray], name: str) -> None:
    drafter = drafter_of(name, plain.model)
    assert_same_texts(plain, tokens[::34], drafter, platform_price(plain.model, drafter, "edp"), LONG)


@pytest.mark.parametrize("name", ["medusa", "eagle", "draft-model", "prompt-lookup"])
def test_some_prompts_with_every_drafter(plain: PlainTexts, tokens: list[IntArray], name: str) -> None:
    assert plain.model.computing.backend.name == "compiled"
    assert_same_texts(plain, tokens[::40], drafter_of(name, plain.model), fixed_size(8))


@pytest.fixture(scope="module")
def plain_by_torch() -> PlainTexts:
    return PlainTexts(load_transformer(demo_folder(), backend="torch"))


@pytest.mark.parametrize("name", ["medusa", "eagle", "draft-model", "prompt-lookup"])
def test_some_prompts_with_every_drafter_by_torch(
    plain_by_torch: PlainTexts, tokens: list[IntArray], name: str
) -> None:
    assert_same_texts(plain_by_torch, tokens[::40], drafter_of(name, plain_by_torch.model), fixed_size(8))


def test_transformers_writes_the_same_text(plain: PlainTexts, tokens: list[IntArray]) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(demo_folder(), dtype=torch.float32).eval()
    for prompt in tokens[::25]:
        with torch.inference_mode():
            found = theirs.generate(torch.from_numpy(prompt)[None], max_new_tokens=NEW_TOKENS, do_sample=False)
        text, said = plain.of(prompt), found[0, len(prompt) :].tolist()
        parting = first_parting(plain.model, prompt.tolist(), text, said)
        assert parting is None or parting.close_call
