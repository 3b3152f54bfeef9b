"""Leads through the study's tasks, one recording after the other, and has each kept or done again."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kivy.lang import Builder
from kivy.metrics import dp
from kivy.properties import BooleanProperty, NumericProperty, ObjectProperty, OptionProperty, StringProperty
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.widget import Widget

from app.recording_session import SessionState
from app.screens.result import QUALITY_KINDS
from app.widgets import live_view, theme
from app.widgets.controls import PillButton
from app.widgets.dialogs import WORDS, yes_no
from app.widgets.inputs import Choice
from app.widgets.live_view import LiveView
from app.widgets.page import Page
from app.wording import task_words
from app.words import _, ngettext, shown_language

NO_NUMBER, UNKNOWN = "\N{EN DASH}", "?"
DRAWN_EVERY_S = 0.09
CUE_VIBRATION_S = 0.15
"""How long the phone shakes as sound has arrived."""


class RecordFoot(BoxLayout):
    """The record button, alone at the foot of the page, with its words below."""

    recording = BooleanProperty(False)
    text = StringProperty()
    press = ObjectProperty(lambda: None)


class ReadyView(BoxLayout):
    """What the participant is going to do."""

    shape = StringProperty("wait")
    text = StringProperty()
    below = StringProperty()
    fault = StringProperty()


class JudgingView(BoxLayout):
    """The moment in which a recording is judged."""

    text = StringProperty()


class OutcomeView(BoxLayout):
    """How good the recording is, and what it holds."""

    kind = OptionProperty("note", options=list(theme.KINDS))
    heading = StringProperty()
    text = StringProperty()
    clock = StringProperty()
    clock_unit = StringProperty()
    coughs = StringProperty()
    coughs_unit = StringProperty()
    counts_coughs = BooleanProperty(False)
    has_picture = BooleanProperty(False)


class TaskPage(Page):
    """The tasks of one participant; what it shows follows from `work.session.state` and from `place.draft` alone."""

    room_height = NumericProperty(0)
    is_live = BooleanProperty(False)

    def __init__(self, work: object, place: object, **properties: object) -> None:
        self._shown: tuple[object, ...] = ()
        self._n_columns, self._session, self._drawn_s = 0, work.session, 0.0
        super().__init__(work, place, **properties)
        self.ids.scroll.bind(height=self._measure)
        self.ids.steps.bind(height=self._measure)
        self._measure()
        self._session.subscribe(self.show)

    def refresh(self) -> None:
        """Show the step that the session is at."""
        if self.work.session is not None:
            self.show(self.work.session.state)

    def leave(self) -> None:
        """Follow the session no more; a recording goes on until it is ended."""
        self._session.unsubscribe(self.show)

    def show(self, state: SessionState) -> None:
        """Show one moment of the session."""
        if state.step == "done":
            self.work.end_session()
            self.work.navigation.replace("result", participant_id=self.place.facts["participant_id"])
            return
        if state.step not in VIEWS:
            return
        view = VIEWS[state.step]
        step = (view, state.step, state.task.id, state.round, state.attempt, state.message, self._is_asking)
        is_new = step != self._shown
        if is_new:
            has_begun = self._shown[1:2] == ("waiting_for_sound",) and state.step == "recording"
            self._shown = step
            self.title = task_title(state, shown_language())
            self.ids.steps.n_steps, self.ids.steps.n_done = self._session.n_steps, self._session.n_done
            self.is_live = view == "live"
            getattr(self, f"_build_{view}")(state)
            if has_begun:
                self.work.facilities.vibration.vibrate(CUE_VIBRATION_S)
        self._show_live(state, at_once=is_new)

    # ---- what each step shows ------------------------------------------------------------------------------------

    def _build_ready(self, state: SessionState) -> None:
        view = ReadyView(
            shape=task_words.CUES[state.task.kind][0],
            text=state.task.instruction(shown_language()),
            below=_("Attempt {n}").format(n=state.attempt) if state.attempt > 1 else "",
            fault=task_words.fault_words(state.message) if state.message else "",
        )
        self._put(view, RecordFoot(text=_("Start"), recording=False, press=self.work.session.start))

    def _build_live(self, state: SessionState) -> None:
        if not isinstance(self._view, LiveView):
            self._n_columns = 0
            foot = RecordFoot(text=_("Stop"), recording=True, press=self.work.session.stop)
            self._put(LiveView(), foot)
        is_waiting = state.step == "waiting_for_sound"
        shape, say = ("wait", lambda: _("Get ready")) if is_waiting else task_words.CUES[state.task.kind]
        ground = theme.NOTE_GROUND if is_waiting else theme.NOTE if state.task.kind == "room_noise" else theme.GOOD
        self._view.cue_shape, self._view.cue_text = shape, say()
        self._view.cue_ink, self._view.cue_ground = theme.NOTE if is_waiting else theme.ON_COLOUR, ground

    def _build_fault(self, state: SessionState) -> None:
        session = self.work.session
        text = task_words.fault_words(state.message)
        if state.elapsed_s:
            text += "\n" + _("What was recorded before is kept: {time}.").format(time=clock_words(state.elapsed_s))
        view = OutcomeView(kind="error", heading=_("The recording stands still"), text=text)
        self._put(view, button(_("Go on"), session.start), button(_("End this recording"), session.stop, filled=False))
        self._show_columns(view)

    def _build_judging(self, _state: SessionState) -> None:
        self._put(JudgingView(text=_("Judging the recording")))

    def _build_outcome(self, state: SessionState) -> None:
        session, verdict = self.work.session, state.verdict
        faults = [task_words.fault_words(state.message)] if state.message else []
        view = OutcomeView(
            kind=QUALITY_KINDS[verdict.outcome],
            heading=task_words.QUALITY_HEADINGS[verdict.outcome](),
            text="\n".join([*faults, *map(task_words.reason_words, verdict.reasons)]),
            clock="" if self._is_asking else clock_words(state.elapsed_s),
            clock_unit=_("length"),
            **cough_figure(state, UNKNOWN),
        )
        if self._is_asking:
            self._ask_in(view)
        elif verdict.outcome == "good":
            self._put(view, button(_("Keep"), session.keep), button(_("Record again"), session.redo, filled=False))
        else:
            keep = button(_("Keep it, with a reason"), self._ask_reason, filled=False)
            self._put(view, button(_("Record again"), session.redo), keep)
        self._show_columns(view)

    def _ask_in(self, view: OutcomeView) -> None:
        """Ask why a recording that is not good is kept."""
        draft = self.place.draft
        choice = Choice([(code, say()) for code, say in task_words.KEEP_REASONS.items()], label=_("Why is it kept?"))
        keep = button(_("Keep"), lambda: self._keep_with_reason(choice.value))
        choice.bind(value=lambda _, value: (draft.update(reason=value), setattr(keep, "disabled", not value)))
        choice.value = draft["reason"]
        keep.disabled = not choice.value
        view.add_widget(choice)
        self._put(view, keep, button(_("Cancel"), self._forget_reason, filled=False))

    # ---- the rest ------------------------------------------------------------------------------------------------

    @property
    def _view(self) -> Widget | None:
        return self.ids.stage.children[0] if self.ids.stage.children else None

    def _put(self, view: Widget, *buttons: Widget) -> None:
        for holder, widgets in ((self.ids.stage, [view]), (self.ids.buttons, buttons)):
            holder.clear_widgets()
            for widget in widgets:
                holder.add_widget(widget)

    def _show_live(self, state: SessionState, at_once: bool) -> None:
        """Bring the moving values into the view, not so often that a slow phone draws all the time."""
        view, now_s = self._view, time.monotonic()
        if not isinstance(view, LiveView) or (not at_once and now_s - self._drawn_s < DRAWN_EVERY_S):
            return
        self._drawn_s = now_s
        show_sound(view, state)
        if state.n_columns > self._n_columns:
            view.ids.spectrogram.push(self._session.columns_from(self._n_columns)[: state.n_columns - self._n_columns])
            self._n_columns = state.n_columns

    def _show_columns(self, view: OutcomeView) -> None:
        columns = self._session.columns_from(0)
        view.has_picture = len(columns) > 0 and not self._is_asking
        view.ids.spectrogram.push(columns)

    @property
    def _is_asking(self) -> bool:
        return "reason" in self.place.draft

    def _ask_reason(self) -> None:
        self.place.draft["reason"] = ""
        self.refresh()

    def _forget_reason(self) -> None:
        self.place.draft.pop("reason", None)
        self.refresh()

    def _keep_with_reason(self, reason: str) -> None:
        self.place.draft.pop("reason", None)
        self.work.session.keep_with_reason(reason)

    def _measure(self, *_: object) -> None:
        self.room_height = self.ids.scroll.height - self.ids.steps.height - dp(44)


VIEWS = {
    "ready": "ready", "waiting_for_sound": "live", "recording": "live", "stopped": "fault", "judging": "judging",
    "decide": "outcome",
}  # fmt: skip
"""What each step of a session shows."""


def show_sound(view: LiveView, state: SessionState) -> None:
    """Show the seconds, coughs, level and advice of this moment; no number before sound has arrived."""
    is_waiting = state.step == "waiting_for_sound"
    view.clock = NO_NUMBER if is_waiting else clock_words(state.elapsed_s)
    view.clock_unit = _("of {time}").format(time=clock_words(state.task.duration_s))
    for name, value in cough_figure(state, NO_NUMBER).items():
        setattr(view, name, value)
    view.level_dbfs = state.level_dbfs
    view.advice_icon, view.advice_kind, say = task_words.ADVICE[state.advice.value]
    view.advice = say()


def cough_figure(state: SessionState, unknown: str) -> dict[str, Any]:
    """The properties of a view that tell the coughs, empty for a task that counts none."""
    if state.task.kind != "coughs":
        return {"counts_coughs": False, "coughs": "", "coughs_unit": ""}
    wanted = state.task.min_coughs
    unit = ngettext("of {n} cough", "of {n} coughs", wanted) if wanted else _("coughs")
    has_none = state.coughs is None or state.step == "waiting_for_sound"
    return {"counts_coughs": True, "coughs": unknown if has_none else str(state.coughs), "coughs_unit": unit}


def task_title(state: SessionState, language: str) -> str:
    """The task's name, with the round where it has several."""
    label = state.task.label(language)
    if state.task.rounds == 1:
        return label
    return _("{task}, {n} of {all}").format(task=label, n=state.round, all=state.task.rounds)


def clock_words(seconds: float) -> str:
    """Minutes and whole seconds, such as 0:07."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def button(text: str, press: Callable[[], Any], filled: bool = True) -> PillButton:
    """A button that calls `press`."""
    pill = PillButton(text=text, filled=filled)
    pill.bind(on_release=lambda _: press())
    return pill


WORDS["leave_recording"] = lambda facts: yes_no(
    _("Leave this recording?"),
    _("It ends here. What was recorded so far is kept as unfinished."),
    _("Leave it"),
    _("Stay"),
)

# The rules of this page use those of other widgets, which therefore have to be known first.
RULES_NEEDED = (live_view,)
Builder.load_file(str(Path(__file__).with_suffix(".kv")))
