"""Reads, with javap, which of Android's methods and constants the compiled classes use, and behind which checks."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_HEAD = re.compile(r"^[\w\s]*\b(?:class|interface|enum) (?P<name>[\w.$]+)(?:<.*>)?(?: extends (?P<parent>[\w.$]+))?")
_METHOD = re.compile(r"^  (?:[\w.$<>\[\], ?]+ )?(?P<name>[\w.$]+)\(.*\)[^=]*;$")
_DESCRIPTOR = re.compile(r"^    descriptor: (?P<descriptor>\(\S*)$")
_CALL = re.compile(r"\s*\d+: invoke\w+\s.*// (?:Interface)?Method (?P<ref>\S+)")
_FIELD = re.compile(r"\s*\d+: getstatic\s.*// Field (?P<ref>\S+)")
_PUSH = re.compile(r"\s*\d+: (?:bipush|sipush)\s+(?P<number>\d+)$")
_CONSTANT = re.compile(r"^  public static final (?P<type>\S+) (?P<name>\w+) = (?P<value>.+);$")
SDK_INT = "android.os.Build$VERSION.SDK_INT"


@dataclass(frozen=True)
class Call:
    """A method that is called: its class with dots, its name, and its arguments as in a descriptor."""

    owner: str
    name: str
    arguments: str

    def __str__(self) -> str:
        return f"{self.owner}.{self.name}({self.arguments})"


@dataclass
class Method:
    """One of a class' methods: what it calls in order, after which version checks."""

    name: str
    arguments: str = ""
    is_public: bool = True
    calls: list[tuple[Call, int]] = field(default_factory=list)  # with the highest level that was checked before


@dataclass
class JavaClass:
    """A compiled class."""

    name: str
    parent: str
    methods: list[Method] = field(default_factory=list)
    constants: dict[str, str] = field(default_factory=dict)

    @property
    def level(self) -> int:
        """The Android that a nested class named Api29 needs; 0 for others."""
        match = re.search(r"\$Api(\d+)(?:\$|$)", self.name)
        return int(match[1]) if match else 0


def read_classes(folder: Path) -> dict[str, JavaClass]:
    """All classes of a folder, by name."""
    files = sorted(str(path) for path in folder.rglob("*.class"))
    command = ["javap", "-c", "-p", "-s", "-constants", *files]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    blocks = text.split("Compiled from ")[1:]
    return {of.name: of for of in (_read_class(block.splitlines()[1:]) for block in blocks)}


def _read_class(lines: list[str]) -> JavaClass:
    head = _HEAD.match(lines[0])
    java_class = JavaClass(head["name"], head["parent"] or "java.lang.Object")
    checked, pushed, sees_version = 0, 0, False
    for line in lines[1:]:
        if match := _CONSTANT.match(line):
            java_class.constants[match["name"]] = match["value"]
        elif match := _METHOD.match(line):
            name = match["name"]
            is_public = line.startswith(("  public", "  protected"))
            java_class.methods.append(Method("<init>" if name == java_class.name else name, is_public=is_public))
            checked, pushed, sees_version = 0, 0, False
        elif (match := _DESCRIPTOR.match(line)) and java_class.methods:
            java_class.methods[-1].arguments = match["descriptor"][1:].partition(")")[0]
        elif match := _FIELD.match(line):
            sees_version = match["ref"].split(":")[0].replace("/", ".") == SDK_INT
        elif match := _PUSH.match(line):
            pushed = int(match["number"])
        elif "if_icmplt" in line and sees_version:
            checked, sees_version = max(checked, pushed), False
        elif match := _CALL.match(line):
            java_class.methods[-1].calls.append((_call(match["ref"], java_class.name), checked))
    return java_class


def _call(ref: str, own: str) -> Call:
    name, _, descriptor = ref.replace('"', "").partition(":")
    owner, _, method = name.rpartition(".")
    return Call(owner.replace("/", ".") or own, method, descriptor[1:].partition(")")[0])


def android_calls(classes: dict[str, JavaClass]) -> Iterator[tuple[JavaClass, Call, int]]:
    """Every call of a method of Android's: inherited ones under Android's class, with the level that was checked."""
    for java_class in classes.values():
        for method in java_class.methods:
            for call, checked in method.calls:
                owner = call.owner
                while owner in classes and not any(of.name == call.name for of in classes[owner].methods):
                    owner = classes[owner].parent
                if owner.startswith("android."):
                    yield java_class, Call(owner, call.name, call.arguments), checked


def overridden(classes: dict[str, JavaClass], stubs: dict[str, JavaClass]) -> Iterator[Call]:
    """The methods of Android's classes that ours replace."""
    for java_class in classes.values():
        parent = java_class.parent
        while parent in stubs:
            for method in java_class.methods:
                names = {(of.name, of.arguments) for of in stubs[parent].methods}
                if method.name != "<init>" and (method.name, method.arguments) in names:
                    yield Call(parent, method.name, method.arguments)
            parent = stubs[parent].parent


def offered(stubs: dict[str, JavaClass]) -> Iterator[Call]:
    """The methods of Android's that the stubs offer, all that Python can call in a test; without constructors."""
    for name, java_class in stubs.items():
        if name.startswith("android.") and not re.search(r"\$\d", name):
            yield from (
                Call(name, method.name, method.arguments)
                for method in java_class.methods
                if method.is_public and method.name != "<init>"
            )


def unguarded(classes: dict[str, JavaClass]) -> list[str]:
    """Calls into a nested class ApiNN that no version check of at least NN stands before."""
    return [
        f"{java_class.name} calls {call} after a check for {checked}"
        for java_class in classes.values()
        if not java_class.level
        for method in java_class.methods
        for call, checked in method.calls
        if call.owner in classes and classes[call.owner].level > checked
    ]
