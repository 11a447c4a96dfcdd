"""Where models are looked for: the network is asked for hub ids alone, and only through the hub's own client."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lpspec.decoding import model_files
from lpspec.decoding.model_files import demo_folder, heads_source, model_folder
from lpspec.errors import InputError


def pretend_hub(monkeypatch: pytest.MonkeyPatch, download: Callable[..., Any]) -> None:
    """Put another client in the hub's place."""
    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(snapshot_download=download))
    monkeypatch.setattr(model_files, "find_spec", lambda name: object())


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, list[str]]]:
    """What the hub is asked for; every answer is one folder."""
    calls: list[tuple[str, list[str]]] = []

    def download(repo: str, *, allow_patterns: list[str]) -> str:
        calls.append((repo, allow_patterns))
        return str(tmp_path)

    pretend_hub(monkeypatch, download)
    return calls


def test_the_demo_and_folders_are_found_without_the_hub(asked: list[Any], tmp_path: Path) -> None:
    assert (demo_folder() / "config.json").is_file()
    assert model_folder("demo") == demo_folder()
    assert model_folder(str(tmp_path)) == tmp_path
    assert heads_source(str(tmp_path)) == tmp_path
    assert asked == []


def test_a_hub_id_is_fetched_without_pickles_for_models(asked: list[tuple[str, list[str]]], tmp_path: Path) -> None:
    assert model_folder("org/name-1.1") == tmp_path
    assert heads_source("org/heads") == tmp_path
    assert [repo for repo, _ in asked] == ["org/name-1.1", "org/heads"]
    assert not any(pattern.endswith((".bin", ".pt")) for pattern in asked[0][1])


@pytest.mark.parametrize("find", [model_folder, heads_source])
@pytest.mark.parametrize(
    "name", ["", "nothing", "./org/name", "/nowhere/at/all", "a/b/c", "../org", "org/", "https://x/y"]
)
def test_other_names_never_reach_the_hub(find: Callable[[str], Path], name: str, asked: list[Any]) -> None:
    with pytest.raises(InputError, match="a folder"):
        find(name)
    assert asked == []


def test_a_failing_hub_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no route\nto host")

    pretend_hub(monkeypatch, fail)
    with pytest.raises(InputError, match=r"no folder 'org/name' here, and the Hugging Face hub gives none: no route$"):
        model_folder("org/name")


def test_without_the_hubs_client_the_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_files, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install huggingface_hub"):
        model_folder("org/name")
