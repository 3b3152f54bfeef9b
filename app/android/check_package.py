"""Checks a finished package with the SDK's tools: permissions, 16-KB pages, size; see .github/workflows/android.yml."""

import argparse
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXPECTED = json.loads((ROOT / "tests" / "android" / "expected_package.json").read_text())
PAGE_BYTES = 16 * 1024
ELF_64 = 2
PT_LOAD = 1
# What the Gradle plugin and AndroidX add to every application.
GENERATED_PERMISSION = re.compile(r"org\.tussis\.app\.DYNAMIC_RECEIVER_NOT_EXPORTED_PERMISSION$")


def load_alignments(content: bytes) -> list[int]:
    """The alignment in bytes of each part that a 64-bit little-endian ELF file loads; empty for other files."""
    if content[:4] != b"\x7fELF" or content[4] != ELF_64:
        return []
    offset = int.from_bytes(content[32:40], "little")
    size, count = int.from_bytes(content[54:56], "little"), int.from_bytes(content[56:58], "little")
    headers = (content[offset + n * size : offset + (n + 1) * size] for n in range(count))
    return [int.from_bytes(of[48:56], "little") for of in headers if int.from_bytes(of[:4], "little") == PT_LOAD]


def badly_aligned(package: Path) -> Iterator[str]:
    """The 64-bit libraries that phones with pages of 16 KB cannot load."""
    with zipfile.ZipFile(package) as archive:
        for name in archive.namelist():
            if re.search(r"lib/(arm64-v8a|x86_64)/[^/]+\.so$", name):
                content = archive.read(name)
                if any(alignment % PAGE_BYTES for alignment in load_alignments(content)):
                    yield name


def differences(package: Path, build_tools: Path, mode: str) -> Iterator[str]:
    """One sentence for each thing that is not as it should be."""
    yield from (f"{name} is not aligned to 16 KB." for name in badly_aligned(package))
    if package.suffix != ".apk":
        return
    shown = _run(build_tools / "aapt2", "dump", "badging", package)
    permissions = sorted(
        name
        for name in re.findall(r"^uses-permission: name='([^']+)'", shown, re.MULTILINE)
        if not GENERATED_PERMISSION.search(name)
    )
    if permissions != EXPECTED["permissions"]:
        yield f"The permissions are {', '.join(permissions)}; expected {', '.join(EXPECTED['permissions'])}."
    if ("application-debuggable" in shown) is not EXPECTED["debuggable"][mode]:
        yield f"The {mode} package is {'' if mode == 'release' else 'not '}debuggable."
    aligned = subprocess.run([build_tools / "zipalign", "-c", "-P", "16", "4", package], capture_output=True)
    if aligned.returncode != 0:
        yield "zipalign finds entries that are not aligned to 16 KB."


def _run(*command: str | Path) -> str:
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True).stdout


def main() -> None:
    """Print the size, and each difference; exit with 1 where there is one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package", type=Path)
    parser.add_argument("--build-tools", type=Path, required=True)
    parser.add_argument("--mode", choices=("debug", "release"), required=True)
    options = parser.parse_args()
    print(f"{options.package.name}: {options.package.stat().st_size / 1e6:.1f} MB")
    found = list(differences(options.package, options.build_tools, options.mode))
    print("\n".join(found) or "As on the list.")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
