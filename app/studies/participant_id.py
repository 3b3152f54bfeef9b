"""Makes and checks participants' ids, such as CG-0017-4, whose last digit shows a typing error."""

import re
from dataclasses import dataclass

from core.errors import TussisError
from core.json_fields import shorten

PATTERN = re.compile(r"(?P<prefix>[A-Z]{0,6}-?)(?P<digits>#{2,8})(?P<dash>-?)\*")
PATTERN_WORDS = "up to six capital letters, 2 to 8 times # for digits and * for the check digit, such as CG-####-*"

# A quasigroup of order 10 that is totally anti-symmetric: one wrong digit, or two neighbours in the wrong order, never
# leave the result as it was. The table is that of H. M. Damm's thesis, Marburg 2004, page 111.
QUASIGROUP = (
    *("0317598642", "7092154863", "4206871359", "1750983426", "6123045978"),
    *("3674209581", "5869720134", "8945362017", "9438617205", "2581436790"),
)


class IdError(TussisError):
    """A text that is no participant's id of the study; ``reason`` is ``"form"`` or ``"check_digit"``."""

    def __init__(self, sentence: str, reason: str) -> None:
        super().__init__(sentence)
        self.reason = reason


@dataclass(frozen=True)
class IdPattern:
    """The form of a study's participant ids: ``#`` is a digit of the serial number, ``*`` the check digit.

    The letters before the digits count in the check digit too, so that most ids of other studies are refused.
    """

    text: str

    @property
    def _parts(self) -> dict[str, str]:
        return PATTERN.fullmatch(self.text).groupdict()

    @property
    def n_digits(self) -> int:
        """Digits that a person types on a number pad, the check digit included."""
        return len(self._parts["digits"]) + 1

    @property
    def highest_serial(self) -> int:
        """The largest serial number that has an id; the smallest is 1."""
        return 10 ** (self.n_digits - 1) - 1

    def new_id(self, serial: int) -> str:
        """The id of a serial number; IdError where it is out of range."""
        if not 1 <= serial <= self.highest_serial:
            raise IdError(f"{serial} is not a serial number; expected 1 to {self.highest_serial}.", "form")
        parts, digits = self._parts, f"{serial:0{self.n_digits - 1}d}"
        return f"{parts['prefix']}{digits}{parts['dash']}{self._check_digit(digits)}"

    def check(self, text: str) -> str:
        """The id that a person typed, in its one form; the letters, hyphens and spaces may be left out.

        Raises
        ------
        IdError
            If it has another form, or its check digit does not fit.
        """
        typed, letters = re.sub(r"[\s-]", "", text).upper(), self._parts["prefix"].removesuffix("-")
        digits = typed.removeprefix(letters)
        if not re.fullmatch(rf"[0-9]{{{self.n_digits}}}", digits) or not int(digits[:-1]):
            example = self.new_id(min(17, self.highest_serial))
            raise IdError(f"{shorten(text)} is not an id of this study; expected one such as {example}.", "form")
        if self._check_digit(digits[:-1]) != digits[-1]:
            raise IdError(f"{shorten(text)} has a check digit that does not fit; read the id again.", "check_digit")
        return self.new_id(int(digits[:-1]))

    def _check_digit(self, digits: str) -> str:
        letters = "".join(str(ord(letter)) for letter in self._parts["prefix"] if letter != "-")
        return check_digit(letters + digits)


def check_digit(digits: str) -> str:
    """The digit that shows a wrong digit among these, or two neighbours in the wrong order (Damm's algorithm)."""
    interim = 0
    for digit in digits:
        interim = int(QUASIGROUP[interim][int(digit)])
    return str(interim)
