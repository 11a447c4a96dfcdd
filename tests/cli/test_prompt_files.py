"""Files of prompts as others write them: marks, odd letters, blank lines, and what is wrong by its line."""

import io
import json
from pathlib import Path

import pytest

from lpspec.cli.prompts import Prompts, read_prompts
from lpspec.errors import InputError

ODD = "a\u2028b\u2029c\x85d\x0be\x0cf"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "prompts.jsonl"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("escaped", [True, False])
def test_a_line_ends_at_its_line_feed(file: Path, end: str, mark: str, escaped: bool) -> None:
    text = ODD if escaped else ODD.replace("\x0b", "").replace("\x0c", "")  # JSON wants these two escaped
    lines = [json.dumps(line, ensure_ascii=escaped) for line in ({"prompt": text}, {"turns": [text, "no"]}, text)]
    file.write_bytes((mark + end.join([*lines, "", " \t"])).encode())
    assert read_prompts(Prompts(None, str(file))) == [text] * 3


@pytest.mark.parametrize("between", ["\u2028", "\x85", "\ufeff", "\x0c"])
def test_only_what_json_calls_blank_is_a_blank_line(file: Path, between: str) -> None:
    file.write_bytes(f'"a"\n{between}\n"b"\n'.encode())
    with pytest.raises(InputError, match="line 2 is not JSON"):
        read_prompts(Prompts(None, str(file)))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no prompt"),
        (b'{"prompt": "a", "system": "be brief"}', "line 1: 'system' would change what is generated"),
        (b'{"prompt": "a"}\n{"turns": ["a"], "max_tokens": 3}', "line 2: 'max_tokens' would change"),
        (b'{"prompt": "a", "prompt": "b"}', "line 1: key 'prompt' is given twice"),
        (b'{"prompt": "a", "temperature": 0.7}', "'temperature' would change"),
        (b"\xef\xbb\xbf", "holds no prompt"),
        (b"\r\n\n  \n", "holds no prompt"),
        (b'"a"\n\xff\xfe"b"\n', "is no text in UTF-8"),
        ('"a"\n'.encode("utf-16"), "is no text in UTF-8"),
        (b'["a", "b"]\n', "line 1 needs a text"),
        (b'[\n"a"\n]\n', "line 1 is not JSON"),
        (b'"a"\r"b"\r', "line 1 is not JSON"),
        (b'\n\n{"text": "a"}\n', "line 3 needs a text"),
        (b'"a"\n{"prompt": "\\ud800"}\n', "line 2: the prompt holds bytes or escapes that are no text"),
        (b'"a"\r\n{"turns": [""]}\r\n', "line 2: the prompt is empty"),
    ],
)
def test_what_is_wrong_is_said_by_its_line(file: Path, content: bytes, said: str) -> None:
    file.write_bytes(content)
    with pytest.raises(InputError, match=said) as error:
        read_prompts(Prompts(None, str(file)))
    assert "\n" not in str(error.value)


def test_standard_input_is_a_text_like_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for content, text in ((b"\xef\xbb\xbfa\r\nb", "a\r\nb"), ("é\u2028".encode(), "é\u2028")):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content), encoding="ascii"))
        assert read_prompts(Prompts("-", None)) == [text]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a\xff")))
    with pytest.raises(InputError, match="standard input is no text in UTF-8"):
        read_prompts(Prompts("-", None))


def test_half_a_letter_on_the_command_line_is_refused() -> None:
    with pytest.raises(InputError, match="the prompt holds bytes"):
        read_prompts(Prompts("a\udcff", None))
