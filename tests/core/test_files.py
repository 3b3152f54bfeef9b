"""Files are written whole or not at all, and hashed by their bytes."""

import hashlib
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from core.errors import OutputError, TussisError
from core.files import check_writable, make_folder, sha256_of_file, write_atomically


def test_text_is_written_as_utf8_with_its_own_line_ends(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a.json", "tschüß\r\n\n")
    assert (tmp_path / "a.json").read_bytes() == "tschüß\r\n\n".encode()


def test_an_existing_file_is_replaced_and_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old and longer")
    path.chmod(0o640)
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_gets_the_permissions_of_the_umask(tmp_path: Path) -> None:
    previous = os.umask(0o027)
    try:
        write_atomically(tmp_path / "a.bin", b"x")
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "a.bin").stat().st_mode) == 0o640


def test_a_failure_while_writing_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OutputError, match=r"a\.bin cannot be written: No space left on device\."):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_never_sees_a_part_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    contents = {bytes([letter]) * 200_000 for letter in b"ab"}
    write_atomically(path, min(contents))
    done = threading.Event()

    def rewrite() -> None:
        for _ in range(20):
            for content in contents:
                write_atomically(path, content)
        done.set()

    writer = threading.Thread(target=rewrite)
    writer.start()
    seen = set()
    while not done.is_set():
        seen.add(path.read_bytes())
    writer.join()
    assert seen <= contents


WRITE_AND_WAIT = """
import os, signal, sys
from core import files
def wait(*_):
    print("written", flush=True)
    signal.pause()
files.os.replace = wait
files.write_atomically(sys.argv[1], b"never there")
"""


def test_what_a_killed_process_left_goes_at_the_next_write_and_what_a_live_one_writes_stays(tmp_path: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITE_AND_WAIT, str(tmp_path / "a")], stdout=subprocess.PIPE)
    assert writer.stdout.readline() == b"written\n"
    (unfinished,) = tmp_path.iterdir()
    write_atomically(tmp_path / "b", b"whole")
    assert unfinished.exists()
    writer.kill()
    writer.communicate()
    (tmp_path / ".tussis-mine.part").write_bytes(b"of somebody else")
    write_atomically(tmp_path / "b", b"whole")
    assert {path.name for path in tmp_path.iterdir()} == {"b", ".tussis-mine.part"}


def test_two_processes_that_write_and_remove_litter_lose_no_file(tmp_path: Path) -> None:
    script = "import sys; from core.files import write_atomically as w\nfor n in range(300): w(sys.argv[1], str(n))"
    writers = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path / name)]) for name in "abc"]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys("abc", "299")


def test_a_link_is_followed_and_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    write_atomically(tmp_path / "link.json", "x")
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "real.json").read_text() == "x"


@pytest.mark.parametrize("refuse", [check_writable, lambda path: write_atomically(path, "x")])
def test_a_missing_folder_is_named(tmp_path: Path, refuse) -> None:
    with pytest.raises(OutputError, match=r"out\.json cannot be written: there is no folder .*missing\."):
        refuse(tmp_path / "missing" / "out.json")


@pytest.mark.parametrize("refuse", [check_writable, lambda path: write_atomically(path, "x")])
def test_a_file_where_a_folder_is_needed_is_refused(tmp_path: Path, refuse) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="there is no folder"):
        refuse(tmp_path / "file" / "out.json")


def test_a_folder_cannot_be_written_as_a_file(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder"):
        write_atomically(tmp_path, "x")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that even root cannot write to")
@pytest.mark.parametrize("path", ["/proc/out.json", "/proc"])
def test_a_read_only_folder_is_found_out_before_any_work(path: str) -> None:
    with pytest.raises(OutputError, match=rf"{path} cannot be written: "):
        check_writable(path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_device_is_written_to_directly() -> None:
    check_writable("/dev/null")
    write_atomically("/dev/null", "x")
    assert not Path("/dev/null").is_file()
    with pytest.raises(OutputError, match="/dev/full cannot be written: No space left"):
        write_atomically("/dev/full", "x")


def test_checking_leaves_nothing_behind_and_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("old")
    for path in (tmp_path, tmp_path / "a.json", tmp_path / "new.json"):
        check_writable(path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_text() == "old"


def test_a_name_that_no_file_can_have_is_one_sentence(tmp_path: Path) -> None:
    for name in ("a\0b", tmp_path / ("x" * 300), tmp_path / ("x" * 300) / "a.json"):
        for refuse in (check_writable, lambda path: write_atomically(path, "x")):
            with pytest.raises(OutputError, match="is not a usable file name"):
                refuse(name)


def test_a_folder_is_made_with_those_above_it_or_refused(tmp_path: Path) -> None:
    for _ in range(2):
        make_folder(tmp_path / "above" / "folder")
        assert list((tmp_path / "above" / "folder").iterdir()) == []
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"the folder .*file/folder cannot be made: Not a directory\."):
        make_folder(tmp_path / "file" / "folder")


def test_the_hash_is_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(range(256)) * 10_000)
    assert sha256_of_file(tmp_path / "a") == hashlib.sha256(bytes(range(256)) * 10_000).hexdigest()
    with pytest.raises(TussisError, match=r"missing cannot be read: No such file"):
        sha256_of_file(tmp_path / "missing")
