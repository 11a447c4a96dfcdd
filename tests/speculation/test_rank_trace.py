"""Rank traces: what they refuse, what a file keeps, and the replay against one that goes token by token."""

import io
import json
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpspec.errors import InputError
from lpspec.speculation.medusa_trees import named_tree
from lpspec.speculation.rank_trace import RankTrace, load_trace, trace_names, verify_passes
from lpspec.speculation.token_tree import TokenTree

TREE = named_tree("mc_sim_7b_63")


def small_trace(**changes: Any) -> RankTrace:
    """Two turns, of three tokens and of one, seen by two heads."""
    fields: dict[str, Any] = {
        "ranks": np.array([[0, 2], [1, -1], [-1, -1], [-1, -1]]),
        "turn_lengths": np.array([3, 1]),
        "top_k": 10,
        "labels": ("first", ""),
        "name": "small",
        "model": "none",
        "kind": "measured",
        "description": "for tests — “any” text",
        "source": "made up",
    }
    return RankTrace(**{**fields, **changes})


@st.composite
def traces(draw: st.DrawFn) -> RankTrace:
    lengths = draw(st.lists(st.integers(1, 30), min_size=1, max_size=4))
    heads = draw(st.integers(1, 5))
    ranks = np.random.default_rng(draw(st.integers(0, 2**32))).integers(-1, 3, (sum(lengths), heads))
    start = 0
    for length in lengths:
        for position in range(length):
            ranks[start + position, max(0, length - 1 - position) :] = -1
        start += length
    return small_trace(ranks=ranks, turn_lengths=np.array(lengths), labels=("",) * len(lengths))


def replay(trace: RankTrace, tree: TokenTree) -> list[int]:
    """Verify passes per turn, token by token, from lists of ranks and a set of paths."""
    paths, passes, start = set(tree.paths()), [], 0
    for length in trace.turn_lengths.tolist():
        turn = trace.ranks[start : start + length].tolist()
        committed = count = 0
        while committed < length:
            accepted = 0
            while accepted < trace.heads and tuple(turn[committed][: accepted + 1]) in paths:
                accepted += 1
            committed += accepted + 1
            count += 1
        assert committed == length  # a turn ends exactly at its last token
        passes.append(count)
        start += length
    return passes


def test_a_trace_says_its_sizes() -> None:
    trace = small_trace()
    assert (trace.positions, trace.heads, trace.turns) == (4, 2, 2)
    assert trace.turn_starts.tolist() == [0, 3]
    assert (trace.ranks.dtype.name, trace.turn_lengths.dtype.name) == ("int8", "int32")


@given(traces())
def test_replay_takes_the_passes_of_the_naive_one(trace: RankTrace) -> None:
    assert verify_passes(trace, TREE).tolist() == replay(trace, TREE)


@given(traces())
def test_the_root_alone_takes_one_pass_per_token(trace: RankTrace) -> None:
    assert np.array_equal(verify_passes(trace, TREE.prefix(1)), trace.turn_lengths)


def test_accuracies_are_shares_of_what_lies_within_a_turn() -> None:
    """Of two turns of three and two tokens the first head guesses three, the second one."""
    ranks = np.array([[0, 1], [2, -1], [-1, -1], [0, -1], [-1, -1]], np.int8)
    trace = small_trace(ranks=ranks, turn_lengths=np.array([3, 2]), top_k=3)
    assert trace.accuracy == pytest.approx(np.array([[2 / 3, 0, 1 / 3], [0, 1, 0]]))


def test_fewer_heads_keep_the_text() -> None:
    trace = small_trace().with_heads(1)
    assert trace.ranks.tolist() == [[0], [1], [-1], [-1]]
    assert trace.turn_lengths.tolist() == [3, 1]
    for heads in (0, 3):
        with pytest.raises(InputError, match=f"cannot take {heads} heads, allowed are 1 to 2"):
            small_trace().with_heads(heads)


def test_arrays_are_copied_and_read_only() -> None:
    ranks = np.full((4, 2), -1)
    trace = small_trace(ranks=ranks)
    ranks[0] = 0
    assert (trace.ranks == -1).all()
    with pytest.raises(ValueError, match="read-only"):
        trace.ranks[0] = 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ranks": np.zeros(4, int)}, "of shape [positions, heads]"),
        ({"ranks": np.zeros((4, 0), int)}, "of shape [positions, heads]"),
        ({"ranks": np.zeros((4, 2))}, "must be whole numbers"),
        ({"ranks": np.array(3)}, "sum to 4, but ranks has 0 positions"),
        ({"ranks": np.full((4, 2), -2)}, "run from -2 to -2, allowed are -1 to top_k - 1 = 9"),
        ({"ranks": np.full((4, 2), 256)}, "run from 256 to 256, allowed are -1 to top_k - 1 = 9"),
        ({"top_k": 2}, "run from -1 to 2, allowed are -1 to top_k - 1 = 1"),
        ({"ranks": np.array([[0, 2], [1, 0], [-1, -1], [-1, -1]])}, "reach beyond the end of a turn"),
        ({"ranks": np.array([[0, 2], [1, -1], [-1, -1], [0, -1]])}, "reach beyond the end of a turn"),
        ({"turn_lengths": np.array([3, 2])}, "sum to 5, but ranks has 4 positions"),
        ({"turn_lengths": np.array([4, 0])}, "turn 1 has no positions"),
        ({"turn_lengths": np.array([], int)}, "at least one"),
        ({"turn_lengths": np.array([3.0, 1.0])}, "list of whole numbers"),
        ({"labels": ("one",)}, "one per turn, not 1 for 2 turns"),
        ({"labels": ("one", 2)}, "tuple of texts"),
        ({"labels": "ab"}, "tuple of texts"),
        ({"top_k": 0}, "top_k of a trace is 0, allowed are 1 to 127"),
        ({"top_k": 128}, "top_k of a trace is 128"),
        ({"top_k": "9"}, "top_k of a trace is '9'"),
        ({"kind": "guessed"}, "kind of a trace is 'guessed', allowed are synthetic, measured"),
        ({"seed": 1.5}, "seed of a trace is 1.5"),
        ({"name": None}, "name of a trace must be a text, not None"),
        ({"drafter": 3}, "drafter of a trace must be a text, not 3"),
        ({"temperature": -0.1}, "temperature of a trace is -0.1"),
        ({"temperature": float("nan")}, "temperature of a trace is nan"),
        ({"temperature": True}, "temperature of a trace is True"),
    ],
)
def test_unsound_traces_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as refused:
        small_trace(**changes)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"seed": 1},
        {"labels": ("first", "second")},
        {"drafter": "eagle3"},
        {"temperature": 0.6},
        {"ranks": np.array([[0, 1], [1, -1], [-1, -1], [-1, -1]])},
        {"ranks": np.array([[-1], [-1], [-1], [-1]])},
        {"ranks": np.full((4, 2), -1), "turn_lengths": np.array([2, 2])},
    ],
)
def test_the_hash_sees_every_part(changes: dict[str, Any]) -> None:
    assert small_trace().content_hash == small_trace().content_hash
    assert small_trace(**changes).content_hash != small_trace().content_hash


# Files


@settings(max_examples=20)
@given(trace=traces())
def test_a_file_keeps_everything(trace: RankTrace, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("traces") / "any.npz"
    trace.save(path)
    assert load_trace(path).content_hash == trace.content_hash


def test_a_file_says_drafter_and_temperature_where_they_are_not_medusa_and_greedy(tmp_path: Path) -> None:
    """So files that were written before traces said either are read, and equal traces have equal bytes still."""
    for changes in ({}, {"drafter": "eagle3"}, {"drafter": "mtp", "temperature": 0.7}):
        small_trace(**changes).save(tmp_path / "t.npz")
        with np.load(tmp_path / "t.npz") as npz:
            said = json.loads(str(npz["metadata"]))
        assert {name: said[name] for name in ("drafter", "temperature") if name in said} == changes
        found = load_trace(tmp_path / "t.npz")
        assert found.content_hash == small_trace(**changes).content_hash
        assert (found.drafter, found.temperature) == (changes.get("drafter", "medusa"), changes.get("temperature", 0.0))


def test_equal_traces_give_equal_bytes_and_nothing_else_in_the_folder(tmp_path: Path) -> None:
    small_trace().save(tmp_path / "a.npz")
    small_trace().save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "b.npz"]


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.npz"
    small_trace().save(path)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(InputError, match="cannot be written: No space left on device"):
        small_trace(name="new").save(path)
    assert [file.name for file in tmp_path.iterdir()] == ["a.npz"]
    assert load_trace(path).name == "small"


def test_saving_into_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written: No such file"):
        small_trace().save(tmp_path / "missing" / "a.npz")


def test_shipped_traces_go_by_name_and_all_else_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small_trace().save("no_suffix")
    Path("vicuna-7b").mkdir()
    assert load_trace("no_suffix").name == "small"
    assert load_trace("./no_suffix").name == "small"
    assert load_trace("vicuna-7b").name == "vicuna-7b"
    assert "vicuna-7b" in trace_names()
    with pytest.raises(InputError, match=r"unknown trace 'vicuna-7': did you mean 'vicuna-7b'\?"):
        load_trace("vicuna-7")
    with pytest.raises(InputError, match=r"trace file 'vicuna-7\.npz' cannot be read: No such file"):
        load_trace("vicuna-7.npz")
    with pytest.raises(InputError, match=r"trace file '\./vicuna-7b' cannot be read: Is a directory"):
        load_trace("./vicuna-7b")


def refused_content(content: bytes, folder: Path) -> str:
    path = folder / "bad.npz"
    path.write_bytes(content)
    with pytest.raises(InputError) as refused:
        load_trace(path)
    message = str(refused.value)
    assert message.startswith("trace file '")
    assert f"{path.name}'" in message
    assert len(message) <= 190
    assert "\n" not in message
    return message


def sound_members() -> dict[str, Any]:
    metadata = {
        "format": "lpspec-rank-trace",
        "version": 1,
        "top_k": 10,
        "labels": ["", ""],
        "name": "by hand",
        "model": "none",
        "kind": "measured",
        "description": "",
        "source": "",
        "seed": None,
    }
    trace = small_trace()
    return {"ranks": trace.ranks, "turn_lengths": trace.turn_lengths, "metadata": json.dumps(metadata)}


def npz(members: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **members)
    return buffer.getvalue()


def said_otherwise(**changes: Any) -> dict[str, Any]:
    members = sound_members()
    return {**members, "metadata": json.dumps({**json.loads(members["metadata"]), **changes})}


def test_the_format_written_by_hand_is_read(tmp_path: Path) -> None:
    path = tmp_path / "hand.npz"
    path.write_bytes(npz(sound_members()))
    assert (
        load_trace(path).content_hash
        == small_trace(name="by hand", labels=("", ""), description="", source="").content_hash
    )


def text_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("readme.txt", "no trace")
    return buffer.getvalue()


def bare_array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged or no trace"),
        (b"ranks,1,2,3\n", "damaged or no trace"),
        (pickle.dumps([1, 2, 3]), "damaged or no trace"),
        (bare_array(), "one bare array"),
        (text_zip(), "it holds ['readme.txt'], a trace holds exactly ['metadata', 'ranks', 'turn_lengths']"),
        (npz({"ranks": np.zeros((1, 1))}), "it holds ['ranks']"),
        (npz({**sound_members(), "extra": 1}), "it holds ['extra', 'metadata', 'ranks', 'turn_lengths']"),
        (npz({**sound_members(), "metadata": "{"}), "damaged or no trace"),
        (
            npz({**sound_members(), "metadata": "[]"}),
            "does not say that it is in the format lpspec-rank-trace",
        ),
        (npz({**sound_members(), "metadata": np.arange(3)}), "does not say that it is in the format"),
        (npz({**sound_members(), "metadata": np.array([{}], dtype=object)}), "damaged or no trace"),
        (npz({**sound_members(), "ranks": np.zeros((4, 2))}), "'ranks' is of type float64, allowed is int8"),
        (npz({**sound_members(), "turn_lengths": np.array([3, 1], "i8")}), "'turn_lengths' is of type int64"),
        (
            npz({**sound_members(), "turn_lengths": np.array([3, 2], "i4")}),
            "sum to 5, but ranks has 4 positions",
        ),
        (npz(said_otherwise(format="other")), "does not say that it is in the format lpspec-rank-trace"),
        (npz(said_otherwise(version=2)), "it is in version 2 of the format, allowed is 1"),
        (npz(said_otherwise(colour="red")), "its metadata says ['colour', 'description'"),
        (npz(said_otherwise(labels="ab")), "'labels' is not a list of texts"),
        (npz(said_otherwise(labels=[1, 2])), "labels of a trace must be a tuple of texts"),
        (npz(said_otherwise(top_k=1)), "ranks of a trace run from -1 to 2, allowed are -1 to top_k - 1 = 0"),
        (npz(said_otherwise(kind=["measured"])), "kind of a trace is ['measured']"),
    ],
)
def test_foreign_and_inconsistent_files_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    assert message in refused_content(content, tmp_path)


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole = npz(sound_members())
    for length in range(len(whole)):
        refused_content(whole[:length], tmp_path)


def test_a_file_altered_anywhere_is_refused_or_still_sound(tmp_path: Path) -> None:
    whole, path = npz(sound_members()), tmp_path / "altered.npz"
    unaltered = replace(small_trace(), name="by hand", labels=("", ""), description="", source="").content_hash
    outcomes = []
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            outcomes.append(load_trace(path).content_hash)  # of a byte that carries nothing, such as a date
        except InputError:
            outcomes.append("refused")
    assert set(outcomes) == {unaltered, "refused"}
    assert outcomes.count("refused") > len(whole) / 2
