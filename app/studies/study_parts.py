"""Checks the parts of a study file: texts in several languages, questions, tasks, limits and next steps."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any, NoReturn

from app.studies.font_characters import missing_characters
from core.errors import TussisError
from core.json_fields import Fields, shorten

LANGUAGE = re.compile(r"[a-z]{2,3}(_[A-Z]{2})?")
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
QUESTION_KINDS = ("choice", "number", "text")
TASK_KINDS = ("room_noise", "coughs", "forced_breaths")
UNJUDGED = "could_not_be_judged"
ROUND_OUTCOMES = ("good", "poor", UNJUDGED)
OUTCOMES = (*ROUND_OUTCOMES, "refer", "not_referred")
NO_BREAK_SPACE = "\u00a0"  # which French wants before ? and :
MAX_TITLE, MAX_LABEL, MAX_PARAGRAPH = 80, 160, 400
MAX_QUESTIONS, MAX_CHOICES, MAX_TASKS, MAX_ROUNDS = 30, 20, 12, 10
MAX_ANSWER = 200


class StudyError(TussisError):
    """A study file that cannot be used, or an answer that does not fit its question."""


@dataclass(frozen=True)
class Text:
    """One text in each of the study's languages; called with a language it gives the text."""

    in_languages: dict[str, str]

    def __call__(self, language: str) -> str:
        """The text in this language, or in the study's first one where it has none in this."""
        return self.in_languages.get(language) or next(iter(self.in_languages.values()))


@dataclass(frozen=True)
class Choice:
    """One possible answer to a question; ``id`` is what is kept."""

    id: str
    label: Text


@dataclass(frozen=True)
class Question:
    """What is asked of each participant.

    ``choices`` are those of the kind ``"choice"``; ``min`` and ``max``, both included, belong to ``"number"``.
    """

    id: str
    kind: str
    label: Text
    choices: tuple[Choice, ...]
    min: float | None
    max: float | None
    required: bool

    def check(self, answer: Any) -> str | float | int:
        """The answer as it is kept: a choice's id, a number or a line of text; StudyError where it is none."""
        if self.kind == "choice":
            if answer not in [choice.id for choice in self.choices]:
                self._refuse(answer, "one of its choices")
        elif self.kind == "number":
            is_number = isinstance(answer, int | float) and not isinstance(answer, bool)
            if not (is_number and self.min <= answer <= self.max):
                self._refuse(answer, f"a number from {self.min:g} to {self.max:g}")
        elif not (isinstance(answer, str) and answer.isprintable() and len(answer) <= MAX_ANSWER):
            self._refuse(answer, f"a line of at most {MAX_ANSWER} characters")
        return answer

    def _refuse(self, answer: Any, expected: str) -> NoReturn:
        raise StudyError(f"the answer {shorten(answer)} does not fit the question {self.id}; expected {expected}.")


@dataclass(frozen=True)
class Task:
    """What a participant does: ``rounds`` recordings of ``duration_s`` seconds at the most.

    Room noise always lasts ``duration_s``. ``min_coughs`` is how many coughs a round should hold; 0 for other kinds.
    """

    id: str
    kind: str
    label: Text
    instruction: Text
    duration_s: float
    rounds: int
    min_coughs: int


@dataclass(frozen=True)
class Limits:
    """What a recording has to keep to be judged; levels are of 20 ms frames above 150 Hz, 0 dBFS is full scale.

    ``max_noise_dbfs`` : the noise of the room, above which nothing is judged.
    ``min_snr_db`` : how far the coughs or the breath stand out from it.
    ``min_level_dbfs``, ``max_level_dbfs`` : the loudest frame; below it "closer", above it "too loud".
    ``max_clipped_fraction`` : samples at full scale.
    ``max_speech_probability`` : above it "somebody is speaking".
    """

    max_noise_dbfs: float
    min_snr_db: float
    min_level_dbfs: float
    max_level_dbfs: float
    max_clipped_fraction: float
    max_speech_probability: float


@dataclass(frozen=True)
class ConsentText:
    """What a participant agrees to; ``sha256`` covers the texts of all languages.

    A new ``version`` asks every participant again.
    """

    version: str
    sha256: str
    text: Text


class StudyFields:
    """Reads the parts out of study.json; every method raises a StudyError that names the file and the field."""

    def __init__(self, fields: Fields, languages: tuple[str, ...]):
        self.fields, self.languages = fields, languages

    def text(self, owner: Fields, key: str, at_most: int) -> Text:
        """A text in every language of the study and in no other."""
        texts = owner.object(key)
        only(texts, self.languages)
        return Text({language: line(texts, language, at_most) for language in self.languages})

    def questions(self) -> tuple[Question, ...]:
        """The questions, in their order."""
        return self._list(self.fields, "questions", MAX_QUESTIONS, self._question)

    def tasks(self) -> tuple[Task, ...]:
        """The tasks, in their order; there is at least one."""
        tasks = self._list(self.fields, "tasks", MAX_TASKS, self._task)
        if not tasks:
            self.fields.refuse("tasks", "at least one task")
        return tasks

    def limits(self) -> Limits:
        """The limits of quality."""
        given = self.fields.object("limits")
        only(given, [field.name for field in fields(Limits)])
        lowest_dbfs = given.number("min_level_dbfs", -90, 0, "dBFS")
        return Limits(
            max_noise_dbfs=given.number("max_noise_dbfs", -90, 0, "dBFS"),
            min_snr_db=given.number("min_snr_db", 0, 60, "dB"),
            min_level_dbfs=lowest_dbfs,
            max_level_dbfs=given.number("max_level_dbfs", lowest_dbfs, 0, "dBFS"),
            max_clipped_fraction=given.number("max_clipped_fraction", 0, 1),
            max_speech_probability=given.number("max_speech_probability", 0, 1),
        )

    def next_steps(self) -> dict[str, Text]:
        """What to do next, by the outcome of the tasks; an outcome without a text has no step."""
        steps = self.fields.object("next_steps")
        only(steps, OUTCOMES)
        return {outcome: self.text(steps, outcome, MAX_PARAGRAPH) for outcome in steps.values}

    def _question(self, given: Fields) -> Question:
        kind = given.one_of("kind", QUESTION_KINDS)
        own = {"choice": ["choices"], "number": ["min", "max"], "text": []}[kind]
        only(given, ["id", "kind", "label", "required", *own])
        lowest = given.number("min") if kind == "number" else None
        choices = self._list(given, "choices", MAX_CHOICES, self._choice) if kind == "choice" else ()
        if kind == "choice" and len(choices) < 2:
            given.refuse("choices", "at least two choices")
        return Question(
            id=name(given, "id"),
            kind=kind,
            label=self.text(given, "label", MAX_LABEL),
            choices=choices,
            min=lowest,
            max=given.number("max", lowest) if kind == "number" else None,
            required=switch(given, "required"),
        )

    def _choice(self, given: Fields) -> Choice:
        only(given, ["id", "label"])
        return Choice(name(given, "id"), self.text(given, "label", MAX_TITLE))

    def _task(self, given: Fields) -> Task:
        only(given, [field.name for field in fields(Task)])
        kind = given.one_of("kind", TASK_KINDS)
        most_coughs = 20 if kind == "coughs" else 0
        return Task(
            id=name(given, "id"),
            kind=kind,
            label=self.text(given, "label", MAX_TITLE),
            instruction=self.text(given, "instruction", MAX_PARAGRAPH),
            duration_s=given.number("duration_s", 1, 120, "s"),
            rounds=given.integer("rounds", 1, MAX_ROUNDS),
            min_coughs=given.integer("min_coughs", 0, most_coughs),
        )

    def _list(self, owner: Fields, key: str, at_most: int, read: Callable[[Fields], Any]) -> tuple[Any, ...]:
        """A list of objects with different ids."""
        values = owner.values.get(key)
        if not (isinstance(values, list) and len(values) <= at_most and all(isinstance(item, dict) for item in values)):
            owner.refuse(key, f"a list of at most {at_most} objects")
        prefix = f"{owner.prefix}{key}"
        items = [Fields(item, owner.source, StudyError, f"{prefix}[{n}].") for n, item in enumerate(values)]
        read_items = tuple(read(item) for item in items)
        if len({item.id for item in read_items}) < len(read_items):
            raise StudyError(f'{owner.source}: two of "{prefix}" have the same id; expected different ones.')
        return read_items


def only(given: Fields, keys: Iterable[str]) -> None:
    """Refuse a key that is none of these, which is a typing error or a part of another version."""
    known = list(keys)
    for key in given.values:
        if key not in known:
            raise StudyError(f"{given.source}: {shorten(given.prefix + key)} is unknown; expected {', '.join(known)}.")


def line(given: Fields, key: str, at_most: int) -> str:
    """A line that the font can show."""
    value = given.values.get(key)
    if not (isinstance(value, str) and value.strip() and len(value) <= at_most):
        given.refuse(key, f"a line of 1 to {at_most} characters")
    if not value.replace(NO_BREAK_SPACE, " ").isprintable():
        given.refuse(key, "printable characters only")
    refuse_missing(value, f'{given.source}: "{given.prefix}{key}"')
    return value


def refuse_missing(text: str, place: str) -> None:
    """Refuse a text that the phone's font cannot show, naming the first character that it lacks."""
    if missing := missing_characters(text):
        character = f"U+{ord(missing[0]):04X}" + (f" ({missing[0]})" if missing[0].isprintable() else "")
        raise StudyError(f"{place} holds {character}, which the app's font does not have; use another one.")


def name(given: Fields, key: str) -> str:
    """A short name for machines: small letters, digits and underscores."""
    value = given.values.get(key)
    if not (isinstance(value, str) and NAME.fullmatch(value)):
        given.refuse(key, "1 to 40 small letters, digits and underscores, a letter first")
    return value


def switch(given: Fields, key: str) -> bool:
    """True or false."""
    if not isinstance(value := given.values.get(key), bool):
        given.refuse(key, "true or false")
    return value
