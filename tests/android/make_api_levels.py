"""Writes api_levels.txt from the declarations of Android's API: `make_api_levels.py MERGED NEWEST`, from the root.

The files are those of the npm package @nativescript/types-android 9.1.1, in its folder lib/android:
android-platform-21-37-merged.d.ts and android-platform-37.d.ts. Only facts are kept: names, arguments, constants, and
the API level of each, of what the application's Java uses. "None" is what the newest Android does not have.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from app.devices.android.java import ANDROIDS, NEWER_ANDROIDS
from tests.android.bytecode import Call, android_calls, offered, overridden, read_classes
from tests.android.desktop_java import compiled

OUT = Path(__file__).with_name("api_levels.txt")
HEADER = "# What the application's Java uses of Android 36 and 37, and since which level (0: before 23).\n"
_SINCE = re.compile(r"/\*\* @since (\d+)")
_OPEN = re.compile(
    r"^\s*(?:export |declare )*(?P<kind>module|class|abstract class|interface) (?P<name>[\w.]+)(?P<rest>.*)\{"
)
_MEMBER = re.compile(r"^\s*(?:public|protected) (?P<static>static )?(?P<name>\w+)(?P<rest>[(:<].*);")
_KINDS = {"Z": "boolean", "B": "number", "S": "number", "I": "number", "J": "number", "F": "number", "D": "number"}


@dataclass
class Declared:
    """A class as it is declared."""

    since: int
    parents: list[str] = field(default_factory=list)
    methods: list[tuple[str, list[str], int]] = field(default_factory=list)
    constants: dict[str, tuple[str, int]] = field(default_factory=dict)


def read_declarations(path: Path) -> dict[str, Declared]:
    """All classes by their names with dots."""
    classes: dict[str, Declared] = {}
    stack: list[str] = []
    since = 0
    for line in path.read_text(encoding="utf-8").splitlines():
        if match := _SINCE.search(line):
            since = int(match[1])
            continue
        if line.lstrip().startswith("*"):
            continue
        if match := _OPEN.match(line):
            stack.append(match["name"])
            if match["kind"] != "module":
                declared = classes.setdefault(".".join(stack), Declared(since))
                declared.parents += re.findall(r"[\w.]+", re.sub("extends|implements|<[^>]*>", " ", match["rest"]))
        elif line.rstrip().endswith("{"):
            stack.append("{")
        elif re.match(r"^\s*\}", line):
            stack.pop()
        elif (match := _MEMBER.match(line)) and ".".join(stack) in classes:
            _keep(classes[".".join(stack)], match, since)
        since = 0
    return classes


def _keep(declared: Declared, match: re.Match[str], since: int) -> None:
    if match["rest"].startswith(":"):
        declared.constants[match["name"]] = (match["rest"][1:].strip(), since)
        return
    inside = re.match(r"\((.*)\)(?::.*)?$", match["rest"])
    if inside:
        kinds = [part.split(":", 1)[1].strip() for part in inside[1].split(", ") if ":" in part]
        declared.methods.append((match["name"], kinds, since))


def kinds_of(arguments: str) -> list[str]:
    """A descriptor's arguments in the words of the declarations."""
    kinds = []
    for array, primitive, name in re.findall(r"(\[*)(?:([ZBSIJFD])|L([^;]+);)", arguments):
        kind = _KINDS.get(primitive) or name.replace("/", ".").replace("$", ".")
        kind = "string" if kind in ("java.lang.String", "java.lang.CharSequence") else kind
        kinds.append(f"androidNative.Array<{kind}>" if array else kind)
    return kinds


def level_of(call: Call, classes: dict[str, Declared]) -> int | None:
    """The level of a method in its class or what that inherits from; None where it is not declared."""
    owner = call.owner.replace("$", ".")
    if owner not in classes:
        return None
    name = "constructor" if call.name == "<init>" else call.name
    found = [
        max(since, classes[owner].since)
        for declared, kinds, since in classes[owner].methods
        if declared == name and _fits(kinds, kinds_of(call.arguments))
    ]
    # A method that a class takes from an interface bears the interface's level.
    above = [level_of(Call(parent, call.name, call.arguments), classes) for parent in classes[owner].parents]
    inherited = [level for level in above if level is not None and name != "constructor"]
    return max(*found, *inherited, 0) if found or inherited else None


def _fits(declared: list[str], given: list[str]) -> bool:
    return len(declared) == len(given) and all(
        _plain(kind) in ("any", other) for kind, other in zip(declared, given, strict=True)
    )


def _plain(kind: str) -> str:
    """A declared type without its generic part and without "or null"."""
    kind = kind.replace(" | null", "")
    return kind if kind.startswith("androidNative.Array") else re.sub("<.*>", "", kind)


def facts(classes: dict[str, Declared], newest: dict[str, Declared]) -> Iterator[str]:
    """One line for each method, class and constant that is used."""
    stubs_folder, ours_folder = compiled()
    ours, stubs = read_classes(ours_folder), read_classes(stubs_folder)
    calls = {call for _, call, _ in android_calls(ours)} | set(overridden(ours, stubs)) | set(offered(stubs))
    for call in sorted(calls, key=str):
        is_there = level_of(call, newest) is not None
        yield f"method {call} {level_of(call, classes) if is_there else None}"
    for name in sorted(set(stubs) | {*ANDROIDS, *NEWER_ANDROIDS}):
        declared = classes.get(name.replace("$", "."))
        if declared is None or not name.startswith("android."):
            continue
        if name in {*ANDROIDS, *NEWER_ANDROIDS}:
            yield f"class {name} {declared.since}"
        for constant in stubs[name].constants if name in stubs else ():
            value, since = declared.constants.get(constant, ("absent", 0))
            yield f"constant {name}.{constant} {value} {max(since, declared.since)}"


if __name__ == "__main__":
    OUT.write_text(HEADER + "".join(f"{fact}\n" for fact in facts(*map(read_declarations, map(Path, sys.argv[1:])))))
