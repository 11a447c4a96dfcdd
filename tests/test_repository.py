"""What is committed works on anybody's machine: it names no folder, index or host of one machine."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import lpspec

ROOT = Path(__file__).parent.parent
MACHINE_PATH = re.compile(rb"(?:(?<![\w./<-])|file://)/(?:work|root|tmp|home|Users|private|mnt)\b")
INDEX = re.compile(
    rb"(?<!emit-)(?:extra-)?index[-]url\b|--find[-]links\b|https?://[^\s\"'<>]*/simple\b|pythonhosted\.org[/:]"
)
PINNED = re.compile(r"[a-z0-9][a-z0-9-]*==[\w.+!]+(?: ; [^\\]+)? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?")
LOCKS = ["requirements.lock", "requirements-models.lock", "requirements-dev.lock"]


def committed_files() -> list[Path]:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listing.returncode != 0:
        pytest.skip("not a git working tree")
    paths = [ROOT / name.decode() for name in listing.stdout.split(b"\0") if name]
    return [path for path in paths if path.is_file()]


def lines_with(pattern: re.Pattern[bytes]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.decode(errors='replace').strip()[:120]}"
        for path in committed_files()
        for number, line in enumerate(path.read_bytes().split(b"\n"), 1)
        if pattern.search(line)
    ]


def test_no_file_names_a_folder_of_one_machine() -> None:
    assert lines_with(MACHINE_PATH) == []


def test_no_file_names_a_package_index() -> None:
    assert lines_with(INDEX) == []


@pytest.mark.parametrize("folder", ["root", "tmp/x", "home/ada/lpspec"])
@pytest.mark.parametrize("before", ['open("', "a:", "x>", "file://"])
def test_a_folder_of_one_machine_is_seen(before: str, folder: str) -> None:
    assert MACHINE_PATH.search(f"{before}/{folder}".encode())


@pytest.mark.parametrize("text", ["energy/work", "./tmp/x", "https://a.example/home/x", "out/tmp", "</root>"])
def test_other_slashes_are_not_folders_of_a_machine(text: str) -> None:
    assert not MACHINE_PATH.search(text.encode())


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_versions_and_hashes_only(name: str) -> None:
    lines = (ROOT / name).read_text("utf-8").splitlines()
    pins = [line for line in lines if PINNED.fullmatch(line)]
    others = [line for line in lines if not (PINNED.fullmatch(line) or HASH.fullmatch(line))]
    assert len(pins) > 10
    assert all(line.startswith("#") and "/" not in line for line in others), others


def test_the_citation_names_this_version() -> None:
    assert f"\nversion: {lpspec.__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")


def test_a_lock_holds_the_smaller_ones() -> None:
    pins = [set(re.findall(r"^\S+==.*", (ROOT / name).read_text("utf-8"), re.M)) for name in LOCKS]
    assert pins[0] < pins[1] < pins[2]


@pytest.mark.parametrize("name", LOCKS)
def test_no_lock_chooses_a_build_of_torch(name: str) -> None:
    assert re.findall(r"^(?:torch|triton|nvidia-\S*|cuda-\S*)==", (ROOT / name).read_text("utf-8"), re.M) == []
