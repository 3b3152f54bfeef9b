"""Reads settings: a TOML file, then `key.sub=value` overrides, into one frozen pydantic model."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import OutputError, SettingsError, one_line


class Settings(BaseModel):
    """Base of all settings: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


SettingsModel = TypeVar("SettingsModel", bound=BaseModel)


def load_settings(
    cls: type[SettingsModel], path: Path | str | None = None, overrides: Sequence[str] = ()
) -> SettingsModel:
    """Read settings.

    Parameters
    ----------
    cls : type of the settings, a pydantic model
    path : TOML file, or None for the defaults of `cls`
        A top-level ``extends = "other.toml"`` (relative to the file) is read first, so that a variant holds only
        its differences.
    overrides : texts "key=value" or "key.sub=value"
        The value is read as TOML (``3``, ``0.5``, ``true``, ``[1, 2]``) and, where it is none, as text.

    Raises
    ------
    SettingsError
        The file is absent or not TOML, or a key is unknown, missing, of the wrong type or out of range.
    """
    values = _read_toml(Path(path)) if path is not None else {}
    for override in overrides:
        _apply_override(values, override)
    try:
        return cls.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_sentence(error, path)) from error


def write_settings(settings: BaseModel, path: Path) -> None:
    """Write the resolved settings as JSON beside a run."""
    try:
        path.write_text(settings.model_dump_json(indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write the settings to {path}: {error.strerror}") from error


def with_defaults(cls: type[BaseModel], resolved: dict[str, Any]) -> dict[str, Any]:
    """Complete settings that an earlier version resolved by the defaults of what was added to `cls` since.

    Where `cls` takes them no more (a setting was removed, say), they are returned as they are.
    """
    try:
        return cls.model_validate(resolved).model_dump(mode="json")
    except ValidationError:
        return resolved


def first_difference(
    ours: dict[str, Any], theirs: dict[str, Any], ignored: frozenset[str] = frozenset()
) -> tuple[str, Any, Any] | None:
    """Find the first dotted key whose values differ between two resolved settings: (key, ours, theirs) or None.

    Keys whose last part is in `ignored` are not compared.
    """
    for key in [*ours, *(key for key in theirs if key not in ours)]:
        a, b = ours.get(key), theirs.get(key)
        if key in ignored or a == b:
            continue
        if not (isinstance(a, dict) and isinstance(b, dict)):
            return key, a, b
        if inner := first_difference(a, b, ignored):
            return f"{key}.{inner[0]}", inner[1], inner[2]
    return None


def _read_toml(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    path = path.resolve() if seen else path
    if path in seen:
        raise SettingsError(f"{path} extends itself through {', '.join(str(file) for file in seen)}")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read the settings file {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"the settings file {path} is not valid TOML: {one_line(error)}") from error
    parent = values.pop("extends", None)
    if parent is None:
        return values
    return merged(_read_toml(path.resolve().parent / str(parent), (*seen, path.resolve())), values)


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Put `changes` over `base`, table by table; neither is changed."""
    result = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


def _apply_override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise SettingsError(f"the override {brief(override)} is not of the form key=value or key.sub=value")
    *parents, last = parts
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise SettingsError(f"the override {brief(override)} goes below {parent!r}, which is a single value")
    values[last] = _parsed(text.strip())


def _parsed(text: str) -> Any:
    try:
        value = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return value["value"] if len(value) == 1 else text


def brief(value: object) -> str:
    """A value from a file as Python writes it, in one line of at most 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _sentence(error: ValidationError, path: Path | str | None) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"]) or "the settings"
    source = f" in {path}" if path is not None else ""
    if first["type"] == "extra_forbidden":
        return f"unknown setting {brief(key)}{source}"
    if first["type"] == "missing":
        return f"the setting {key!r} is missing{source}"
    reason = first["msg"].removeprefix("Input ").removeprefix("Value error, ")
    return f"the setting {key!r}{source} is {brief(first['input'])}: it {reason}"
