"""Chats are written, and added tokens told, as transformers does it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch  # noqa: F401

transformers = pytest.importorskip("transformers")

from lpspec.decoding.chat import ChatTemplate, chat_template  # noqa: E402
from lpspec.decoding.model_files import demo_folder  # noqa: E402
from lpspec.decoding.tokenizer import load_tokenizer  # noqa: E402
from lpspec.errors import InputError  # noqa: E402
from lpspec.experiments.decoder import load_decoder, prompt_tokens  # noqa: E402

TEMPLATES = {
    "chatml": (
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
        "{{ '<|im_start|>system\\nYou help.<|im_end|>\\n' }}{% endif %}\n"
        "    {{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}\n{% endfor %}\n"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    ),
    "turns must alternate": (
        "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('roles must alternate') }}{% endif %}[INST] {{ message['content'] | trim }} [/INST]"
        "{% endfor %}"
    ),
    "marked for training": "{% generation %}{{ messages[0].content }}{% endgeneration %} {{ eos_token }}",
    "as JSON": "{{ messages | tojson }}{{ messages | tojson(indent=2) }}",
    "namespaces and breaks": (
        "{% set ns = namespace(n=0) %}{% for i in range(9) %}{% set ns.n = i %}{% if i == 3 %}{% break %}{% endif %}"
        "{% endfor %}{{ ns.n }}{% if tools %}x{% endif %}{% if enable_thinking is defined %}y{% endif %}"
    ),
}
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("prompt", ["What is 2 < 3 & \u6c34?", " two\n\nlines "])
def test_chats_are_written_as_by_transformers(name: str, prompt: str) -> None:
    from transformers.utils.chat_template_utils import render_jinja_template

    said = [{"role": "user", "content": prompt}]
    how: dict[str, Any] = {"add_generation_prompt": True, **SPECIAL}
    wanted = render_jinja_template(conversations=[said], chat_template=TEMPLATES[name], **how)[0][0]
    assert ChatTemplate(TEMPLATES[name], SPECIAL, "template").render(prompt) == wanted


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{{ raise_exception('no system prompt') }}", "template cannot be rendered: no system prompt"),
        ("{% for %}", "template cannot be rendered: "),
        ("{{ messages[0].content.__class__.__mro__ }}", "unsafe"),
        ("{{ messages.append(1) }}", "not safely callable|unsafe"),
        ("{% include 'other' %}", "template cannot be rendered: "),
        ("{{ range(1000000) | length }}", "Range too big"),
        ("{{ 1 / 0 }}", "division by zero"),
    ],
)
def test_a_template_that_fails_or_reaches_for_more_is_one_line(text: str, line: str) -> None:
    with pytest.raises(InputError, match=line) as caught:
        ChatTemplate(text, {}, "template").render("x")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 200


def folder_with(tmp_path: Path, config: dict[str, Any] | None, jinja: str | None = None) -> Path:
    shutil.copytree(demo_folder(), tmp_path / "m")
    if config is not None:
        (tmp_path / "m" / "tokenizer_config.json").write_text(json.dumps(config))
    if jinja is not None:
        (tmp_path / "m" / "chat_template.jinja").write_text(jinja)
    return tmp_path / "m"


def test_the_template_of_its_own_file_comes_first(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, {"chat_template": "old", "bos_token": {"content": "<b>"}}, "{{ bos_token }}new")
    assert chat_template(folder).render("x") == "<b>new"


@pytest.mark.parametrize(
    "said",
    ["one {{ messages[0].content }}", [{"name": "rag", "template": "r"}, {"name": "default", "template": "one x"}]],
)
def test_templates_may_have_names(said: object, tmp_path: Path) -> None:
    assert chat_template(folder_with(tmp_path, {"chat_template": said})).render("x") == "one x"


@pytest.mark.parametrize("config", [None, {}, {"chat_template": [{"name": "rag", "template": "r"}]}])
def test_a_model_without_a_template_is_refused(config: dict[str, Any] | None, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no chat template .*: leave out --chat"):
        chat_template(folder_with(tmp_path, config))


def test_a_chat_is_not_begun_twice(tmp_path: Path) -> None:
    """Its template writes what texts begin with."""
    folder = folder_with(tmp_path, {"chat_template": "Q: {{ messages[0].content }}\nA:"})
    decoder = load_decoder(str(folder), "none")
    plain, chat = prompt_tokens(decoder, ["Why?"], 4), prompt_tokens(decoder, ["Why?"], 4, chat=True)
    assert chat[0].tolist() == decoder.tokenizer.encode("Q: Why?\nA:", whole=True) != plain[0].tolist()


ADDED: dict[str, Any] = {
    "1024": {"content": "<|im_start|>", "special": True, "lstrip": False, "rstrip": False, "normalized": False},
    "1025": {"content": "<tool>", "special": False, "lstrip": False, "rstrip": True, "normalized": False},
}


def test_added_tokens_of_the_configuration_are_added_as_by_transformers(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, {"added_tokens_decoder": ADDED, "tokenizer_class": "PreTrainedTokenizerFast"})
    theirs, ours = transformers.PreTrainedTokenizerFast.from_pretrained(folder), load_tokenizer(folder)
    text = "<|im_start|>Tom has <tool> 3 pens<|im_start|>"
    assert ours.encode(text) == theirs(text)["input_ids"]
    assert ours.size == 1026


LEGACY = {
    "special_tokens_map.json": {"bos_token": "<|im_start|>", "eos_token": {"content": "<|im_end|>", "lstrip": False}},
    "added_tokens.json": {"<|im_end|>": 1025, "<tool>": 1026, "<|im_start|>": 1024},
}
NAMES = "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}"


def with_older_files(tmp_path: Path, config: dict[str, Any]) -> Path:
    folder = folder_with(tmp_path, {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": NAMES} | config)
    for name, said in LEGACY.items():
        (folder / name).write_text(json.dumps(said))
    return folder


@pytest.mark.parametrize("config", [{}, {"bos_token": "<b>"}, {"added_tokens_decoder": {}, "bos_token": "<b>"}])
def test_tokens_of_older_files_count_as_in_transformers(config: dict[str, Any], tmp_path: Path) -> None:
    folder = with_older_files(tmp_path, config)
    theirs = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
    chat = theirs.apply_chat_template([{"role": "user", "content": "Why?"}], tokenize=False)
    assert chat_template(folder).render("Why?") == chat.replace("None", "")
    if "added_tokens_decoder" not in config:
        ours, text = load_tokenizer(folder), "<|im_start|>Tom has <tool> 3 pens<|im_end|>"
        assert ours.encode(text) == theirs(text)["input_ids"]
        assert ours.decode(ours.encode(text)) == theirs.decode(theirs(text)["input_ids"], skip_special_tokens=True)


@pytest.mark.parametrize("said", [{"<x>": "1024"}, {"<x>": 1024, "<y>": 1024}, {"<x>": -1}])
def test_older_files_that_cannot_be_are_refused(said: dict[str, Any], tmp_path: Path) -> None:
    folder = with_older_files(tmp_path, {})
    (folder / "added_tokens.json").write_text(json.dumps(said))
    with pytest.raises(InputError, match="needs an id of its own"):
        load_tokenizer(folder)


def test_a_template_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, None)
    (folder / "chat_template.jinja").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"chat template '.*' is no text in UTF-8"):
        chat_template(folder)


@pytest.mark.parametrize(
    ("added", "line"),
    [
        ({"2000": {"content": "<x>"}}, "added token '<x>' has id 2000, but by tokenizer.json it would have 1024"),
        ({"x": {"content": "<x>"}}, "must hold tokens"),
        ({"1024": "<x>"}, "must hold tokens"),
        ([], None),
    ],
)
def test_added_tokens_that_cannot_be_are_refused(added: object, line: str | None, tmp_path: Path) -> None:
    folder = folder_with(tmp_path, {"added_tokens_decoder": added})
    if line is None:
        assert load_tokenizer(folder).size == 1024
        return
    with pytest.raises(InputError, match=line) as caught:
        load_tokenizer(folder)
    assert len(str(caught.value)) <= 200


def test_tokens_added_beyond_the_models_rows_are_refused_in_prompts_only(tmp_path: Path) -> None:
    """Many a model was given a token for padding and no row for it."""
    folder = folder_with(tmp_path, {"added_tokens_decoder": {"1024": {"content": "<pad>", "special": True}}})
    decoder = load_decoder(str(folder), "none")
    assert decoder.tokenizer.size == 1 + decoder.model.config.shape.vocab_size
    assert len(prompt_tokens(decoder, ["Why?"], 4)[0])
    with pytest.raises(InputError, match="holds token ids outside the model's, 0 to 1023"):
        prompt_tokens(decoder, ["Why?<pad>"], 4)
