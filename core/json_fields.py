"""Parses JSON from outside the program and checks its fields one by one."""

import json
import math
import re
from typing import Any, NoReturn

import numpy as np

from core.errors import TussisError, one_line

LARGEST_NUMBER = 1e9
SHA256_PATTERN = re.compile(r"[0-9a-f]{64}\Z")


class Fields:
    """One JSON object; each method returns one checked field or raises `error` with a sentence that names the file.

    Parameters
    ----------
    values : dict
        The object as parsed.
    source : str
        The file, for the sentences.
    error : type of TussisError
        What a wrong field raises.
    prefix : str
        Where in the file this object stands, for example ``"screening."``.
    """

    def __init__(self, values: dict[str, Any], source: str, error: type[TussisError], prefix: str = ""):
        self.values, self.source, self.error, self.prefix = values, source, error, prefix

    def refuse(self, key: str, expected: str) -> NoReturn:
        """Raise the sentence for a field that is not what it should be."""
        actual = "missing" if key not in self.values else shorten(self.values[key])
        raise self.error(f'{self.source}: "{self.prefix}{key}" is {actual}; expected {expected}.')

    def is_null(self, key: str) -> bool:
        """Whether a field that may be null is null; a missing one is refused."""
        if key not in self.values:
            self.refuse(key, "a value or null")
        return self.values[key] is None

    def text(self, key: str, at_most: int = 200) -> str:
        """A printable line of 1 to `at_most` characters."""
        value = self.values.get(key)
        if not (isinstance(value, str) and 0 < len(value) <= at_most and value.isprintable()):
            self.refuse(key, f"a printable line of 1 to {at_most} characters")
        return value

    def one_of(self, key: str, choices: tuple[str, ...]) -> str:
        """One of a few words."""
        value = self.values.get(key)
        if not (isinstance(value, str) and value in choices):
            self.refuse(key, "one of " + ", ".join(choices) if len(choices) > 1 else f'"{choices[0]}"')
        return value

    def sha256(self, key: str) -> str:
        """A SHA-256 in 64 lower-case hexadecimal digits."""
        value = self.values.get(key)
        if not (isinstance(value, str) and SHA256_PATTERN.match(value)):
            self.refuse(key, "a SHA-256 of 64 lower-case hexadecimal digits")
        return value

    def integer(self, key: str, lowest: int, highest: int) -> int:
        """A whole number from `lowest` to `highest`."""
        value = self.values.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            self.refuse(key, f"a whole number from {lowest} to {highest}" if lowest < highest else f"{lowest}")
        return value

    def number(
        self, key: str, lowest: float = -LARGEST_NUMBER, highest: float = LARGEST_NUMBER, unit: str = ""
    ) -> float:
        """A finite number from `lowest` to `highest`, both included."""
        value = self.values.get(key)
        if not is_number(value) or not lowest <= value <= highest:
            self.refuse(key, f"a number from {lowest:g} to {highest:g}{' ' + unit if unit else ''}")
        return float(value)

    def numbers(self, key: str, count: int, lowest: float = -LARGEST_NUMBER) -> np.ndarray:
        """A list of `count` finite numbers of at least `lowest`; float64, shape (count,)."""
        value = self.values.get(key)
        if not isinstance(value, list) or len(value) != count:
            actual = f"a list of {len(value)}" if isinstance(value, list) else shorten(value)
            raise self.error(f'{self.source}: "{self.prefix}{key}" is {actual}; expected a list of {count} numbers.')
        for position, item in enumerate(value):
            if not is_number(item) or not lowest <= item <= LARGEST_NUMBER:
                place = f'"{self.prefix}{key}[{position}]" is {shorten(item)}'
                raise self.error(f"{self.source}: {place}; expected a number from {lowest:g} to {LARGEST_NUMBER:g}.")
        return np.array(value, dtype=np.float64)

    def object(self, key: str) -> "Fields":
        """A JSON object, as fields of its own."""
        value = self.values.get(key)
        if not isinstance(value, dict):
            self.refuse(key, "an object")
        return Fields(value, self.source, self.error, f"{self.prefix}{key}.")

    def small_object(self, key: str, at_most: int) -> dict[str, Any]:
        """A JSON object of any content that holds at most `at_most` values, those inside its values too."""
        values, unseen, count = self.object(key).values, [self.values[key]], 0
        while unseen:
            given = unseen.pop()
            count += len(given)
            if count > at_most:
                self.refuse(key, f"an object of at most {at_most} values")
            inner = given.values() if isinstance(given, dict) else given
            unseen += [value for value in inner if isinstance(value, dict | list)]
        return values


def is_number(value: object) -> bool:
    """Whether a parsed JSON value is a number that a float can hold (true and false are not numbers)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= LARGEST_NUMBER if isinstance(value, int) else math.isfinite(value)


def shorten(value: object) -> str:
    """A parsed JSON value as it would stand in the file, in at most 60 printable characters."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else f"a list of {len(value)}"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > LARGEST_NUMBER:
        return "a number too large to use"
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def parse_object(content: bytes, source: str, error: type[TussisError]) -> Fields:
    """Parse strict JSON: UTF-8, one object, no NaN or Infinity, no key twice in an object."""
    try:
        values = json.loads(content.decode("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as reason:
        raise error(f"{source} is not valid JSON ({one_line(reason)}).") from reason
    if not isinstance(values, dict):
        raise error(f"{source}: the file holds {shorten(values)}; expected an object.")
    return Fields(values, source, error)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise ValueError(f"the key {shorten(twice)} stands twice in one object")
    return values
