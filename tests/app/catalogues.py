"""Keeps the catalogues of app/locale: `python -m tests.app.catalogues` adds new source strings and compiles them."""

import ast
import re
import struct
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCALE = ROOT / "app" / "locale"
LANGUAGES = {
    "es": ("Spanish", "nplurals=2; plural=(n != 1);"),
    "fr": ("French", "nplurals=2; plural=(n > 1);"),
    "pt": ("Portuguese", "nplurals=2; plural=(n != 1);"),
    "sw": ("Swahili", "nplurals=2; plural=(n != 1);"),
}
MARKS = {"_", "marked"}
IN_KV = re.compile(r"""\b_\(\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')\s*\)""")
PLURAL_IN_KV = re.compile(r"""\bngettext\(\s*("[^"]*"|'[^']*')\s*,\s*("[^"]*"|'[^']*')""")
PO_LINE = re.compile(r'(msgid|msgid_plural|msgstr|msgstr\[(\d)\])?\s*"(.*)"\Z')


@dataclass(frozen=True)
class Source:
    """A source string, with its plural where it counts something."""

    one: str
    many: str = ""


Catalogue = dict[Source, tuple[str, ...]]


def sources() -> dict[Source, set[str]]:
    """Every source string of the application with the files that show it."""
    found: dict[Source, set[str]] = {}
    for path in sorted((ROOT / "app").rglob("*")):
        if path.suffix == ".py":
            strings = _in_python(path)
        elif path.suffix == ".kv":
            strings = _in_kv(path.read_text())
        else:
            continue
        for source in strings:
            found.setdefault(source, set()).add(path.relative_to(ROOT).as_posix())
    return found


def _in_python(path: Path) -> list[Source]:
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    found = []
    for call in calls:
        name = getattr(call.func, "id", getattr(call.func, "attr", ""))
        texts = [node.value for node in call.args if isinstance(node, ast.Constant) and isinstance(node.value, str)]
        if name in MARKS and len(texts) == 1:
            found.append(Source(texts[0]))
        elif name == "ngettext" and len(texts) == 2:
            found.append(Source(*texts))
    return found


def _in_kv(text: str) -> list[Source]:
    plain = [Source(ast.literal_eval(match[1])) for match in IN_KV.finditer(text)]
    counted = [Source(*map(ast.literal_eval, match.groups())) for match in PLURAL_IN_KV.finditer(text)]
    return plain + counted


def po_path(language: str) -> Path:
    """Where the catalogue of a language lies."""
    return LOCALE / language / "LC_MESSAGES" / "tussis.po"


def read_po(path: Path) -> Catalogue:
    """The translations of a catalogue by their source; an empty one is not translated yet."""
    catalogue: Catalogue = {}
    for block in path.read_text(encoding="utf-8").split("\n\n"):
        entry: dict[str, str] = {}
        key = ""
        for line in block.splitlines():
            if not line.startswith("#") and (match := PO_LINE.match(line)):
                key = match[1] or key
                entry[key] = entry.get(key, "") + ast.literal_eval(f'"{match[3]}"')
        if entry.get("msgid"):
            plural = entry.get("msgid_plural", "")
            texts = (entry["msgstr[0]"], entry["msgstr[1]"]) if plural else (entry["msgstr"],)
            catalogue[Source(entry["msgid"], plural)] = texts
    return catalogue


def po_text(language: str, catalogue: Catalogue, places: dict[Source, set[str]]) -> str:
    """A catalogue as a .po file, by the alphabet, so that a change is seen where it was made."""
    name, _ = LANGUAGES[language]
    blocks = [
        f"# {name} words of Tussis.\n# No native speaker has read them yet. Corrections are welcome.\n"
        + _header(language)
    ]
    for source in sorted(catalogue, key=lambda source: (source.one.lower(), source.one, source.many)):
        lines = [f"#: {place}" for place in sorted(places.get(source, ()))]
        lines += ["#, python-brace-format"] if "{" in source.one + source.many else []
        lines.append(f"msgid {_quoted(source.one)}")
        if source.many:
            lines.append(f"msgid_plural {_quoted(source.many)}")
            lines += [f"msgstr[{n}] {_quoted(text)}" for n, text in enumerate(catalogue[source])]
        else:
            lines.append(f"msgstr {_quoted(catalogue[source][0])}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def _header(language: str) -> str:
    fields = (
        "Project-Id-Version: Tussis",
        f"Language: {language}",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=UTF-8",
        "Content-Transfer-Encoding: 8bit",
        f"Plural-Forms: {LANGUAGES[language][1]}",
    )
    return 'msgid ""\nmsgstr ""\n' + "\n".join(_quoted(f"{field}\n") for field in fields)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def mo_bytes(language: str, catalogue: Catalogue) -> bytes:
    """A compiled catalogue, as GNU gettext's manual describes the format; what is not translated is left out."""
    header = "".join(ast.literal_eval(line) for line in _header(language).splitlines()[2:])
    texts = {"": header} | {
        source.one + ("\0" + source.many if source.many else ""): "\0".join(translated)
        for source, translated in catalogue.items()
        if all(translated)
    }
    pairs = sorted((key.encode(), text.encode()) for key, text in texts.items())
    place, tables, strings = 28 + 16 * len(pairs), [], b""
    for side in (0, 1):
        for pair in pairs:
            tables.append(struct.pack("<II", len(pair[side]), place + len(strings)))
            strings += pair[side] + b"\0"
    head = struct.pack("<7I", 0x950412DE, 0, len(pairs), 28, 28 + 8 * len(pairs), 0, 0)
    return head + b"".join(tables) + strings


def update() -> None:
    """Bring every catalogue up to the source strings of now; translations of strings that are gone go too."""
    wanted = sources()
    for language in LANGUAGES:
        path = po_path(language)
        known = read_po(path) if path.exists() else {}
        catalogue = {source: known.get(source, ("", "") if source.many else ("",)) for source in wanted}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(po_text(language, catalogue, wanted), encoding="utf-8")
        path.with_suffix(".mo").write_bytes(mo_bytes(language, catalogue))
        missing = sum(not all(texts) for texts in catalogue.values())
        print(f"{language}: {len(catalogue)} strings, {missing} not translated")


if __name__ == "__main__":
    update()
