"""What is wrong is said in one line, however long what somebody gave."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lpspec.errors import LONGEST, InputError


@example("a" * LONGEST)
@example("a" * (LONGEST + 1))
@example("some words " * 40)
@given(st.text(max_size=400))
def test_a_message_is_one_line_of_limited_length(text: str) -> None:
    said = str(InputError(text))
    assert len(said.splitlines()) <= 1
    assert len(said) <= LONGEST
    assert said.isprintable()
    line = " ".join(text.splitlines())
    assert said == line or len(line) > LONGEST or not line.isprintable()


@pytest.mark.parametrize("length", [10, 90, 250, 4000])
@pytest.mark.parametrize("paths", [1, 2, 3])
def test_long_paths_leave_room_for_the_fault(length: int, paths: int) -> None:
    path = f"{'p' * length}/config.json"
    said = str(InputError(f"model config {' -> '.join([path] * paths)}: model_type = 'x': allowed are llama, mistral"))
    assert said.startswith("model config ")
    assert said.count("config.json") == paths
    assert said.endswith("p/config.json: model_type = 'x': allowed are llama, mistral")
    quoted = str(InputError(f"model config '{path}' holds {'nothing that is read ' * 9}"))
    assert quoted.startswith("model config '")


def test_a_message_of_short_words_is_cut_at_its_end() -> None:
    assert str(InputError("word " * 60)) == ("word " * 60)[: LONGEST - 3] + "..."
