"""Tests what tells a library that a phone with 16-KB pages cannot load."""

import importlib.util
import struct
import zipfile
from pathlib import Path

import pytest

PACKAGING = Path(__file__).resolve().parents[2] / "app" / "android"


@pytest.fixture(scope="module")
def check():
    location = importlib.util.spec_from_file_location("check_package", PACKAGING / "check_package.py")
    module = importlib.util.module_from_spec(location)
    location.loader.exec_module(module)
    return module


def elf(alignments: list[int]) -> bytes:
    """A 64-bit library with a part to load of each alignment, and a note between them."""
    headers = [struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, 0, 0, alignment) for alignment in alignments]
    headers.append(struct.pack("<IIQQQQQQ", 4, 4, 0, 0, 0, 0, 0, 4))
    start = (
        b"\x7fELF\x02\x01\x01"
        + bytes(9)
        + struct.pack("<HHIQQQIHHHHHH", 3, 183, 1, 0, 64, 0, 0, 64, 56, len(headers), 0, 0, 0)
    )
    return start + b"".join(headers)


@pytest.mark.parametrize(
    ("alignments", "is_bad"), [([0x4000, 0x4000], False), ([0x4000, 0x1000], True), ([0x10000], False)]
)
def test_a_library_of_4_kb_pages_is_named(check, tmp_path, alignments, is_bad):
    package = tmp_path / "app.apk"
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("lib/arm64-v8a/libmain.so", elf(alignments))
        archive.writestr("lib/armeabi-v7a/libmain.so", b"\x7fELF\x01" + bytes(100))
        archive.writestr("assets/private.tar", b"not a library")
    assert list(check.badly_aligned(package)) == (["lib/arm64-v8a/libmain.so"] if is_bad else [])


def test_libraries_inside_a_bundle_are_found_too(check, tmp_path):
    package = tmp_path / "app.aab"
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("base/lib/x86_64/libmain.so", elf([0x1000]))
    assert list(check.badly_aligned(package)) == ["base/lib/x86_64/libmain.so"]
    assert list(check.differences(package, Path("unused"), "release")) == [
        "base/lib/x86_64/libmain.so is not aligned to 16 KB."
    ]


def test_other_files_have_no_alignment(check):
    assert check.load_alignments(b"tussis") == []
    assert check.load_alignments(elf([0x4000])) == [0x4000]
