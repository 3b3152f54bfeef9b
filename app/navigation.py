"""Holds the stack of places that a person went through, so that Back goes up and never ends the application."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, eq=False)
class Place:
    """One place in the application: which page, and of what.

    Attributes
    ----------
    name : str
        The page: ``"home"``, ``"participant"``, ``"task"`` …
    facts : dict
        What the page is about, such as ``participant_id``; nobody changes them.
    draft : dict
        What a person began to enter there; a page that is drawn again reads it from here.
    """

    name: str
    facts: dict[str, Any] = field(default_factory=dict)
    draft: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Question:
    """Something to be answered before anything else; `app.widgets.dialogs` has the words of each `code`.

    Attributes
    ----------
    code : str
    answers : dict
        What each answer does, by its code; the first is the one that changes something.
    facts : dict
        What the words tell of.
    """

    code: str
    answers: dict[str, Callable[[], None]]
    facts: dict[str, Any] = field(default_factory=dict)


class Navigation:
    """One stack of places with at most one question over it; for the main thread only.

    `guard`, where it is set, is asked before a place is left upwards. It returns None, or the question that has to be
    answered first.
    """

    def __init__(self, first: str) -> None:
        self.question: Question | None = None
        self.guard: Callable[[], Question | None] = lambda: None
        self._places = [Place(first)]
        self._listeners: list[Callable[[], None]] = []

    @property
    def top(self) -> Place:
        """The place that is shown."""
        return self._places[-1]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the places from the lowest to the one that is shown."""
        return tuple(place.name for place in self._places)

    @property
    def can_go_back(self) -> bool:
        """Whether there is a place above which one can go."""
        return len(self._places) > 1

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Have `listener` called with every change of the place or of the question."""
        self._listeners.append(listener)

    def go(self, name: str, **facts: Any) -> None:
        """Put a place over the one that is shown."""
        self._places.append(Place(name, facts))
        self._tell()

    def replace(self, name: str, **facts: Any) -> None:
        """Show a place instead of the one that is shown."""
        self._places[-1] = Place(name, facts)
        self._tell()

    def restart(self, name: str, **facts: Any) -> None:
        """Forget every place and question, and show this one."""
        self._places, self.question = [Place(name, facts)], None
        self._tell()

    def up_to(self, name: str) -> None:
        """Go back to the latest place of this name, or to the lowest place."""
        while len(self._places) > 1 and self.top.name != name:
            self._places.pop()
        self._tell()

    def back(self) -> None:
        """Answer an open question with its last answer; else go one place up, unless the guard asks first.

        The lowest place stays: Back never ends the application.
        """
        if self.question is not None:
            self.answer(list(self.question.answers)[-1])
        elif (question := self.guard()) is not None:
            self.ask(question)
        else:
            self.leave()

    def leave(self) -> None:
        """Go one place up without asking."""
        if self.can_go_back:
            self._places.pop()
            self._tell()

    def ask(self, question: Question) -> None:
        """Show a question over the place."""
        self.question = question
        self._tell()

    def confirm(self, code: str, yes: Callable[[], None], **facts: Any) -> None:
        """Ask whether to do something; Back and "no" leave everything as it is."""
        self.ask(Question(code, {"yes": yes, "no": lambda: None}, facts))

    def answer(self, code: str) -> None:
        """Take the question away, then do what the answer does."""
        question, self.question = self.question, None
        self._tell()
        if question is not None:
            question.answers[code]()

    def _tell(self) -> None:
        for listener in tuple(self._listeners):
            listener()
