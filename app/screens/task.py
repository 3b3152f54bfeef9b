"""Leads through the study's tasks, one recording after the other, and has each kept or done again."""

from pathlib import Path

from kivy.clock import Clock
from kivy.lang import Builder
from kivy.metrics import dp
from kivy.properties import BooleanProperty, NumericProperty, ObjectProperty, OptionProperty, StringProperty
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.widget import Widget

from app import task_words
from app.screens import live_view, theme
from app.screens.controls import PillButton
from app.screens.inputs import Choice
from app.screens.live_view import LiveView
from app.screens.page import Page
from app.words import _, ngettext, shown_language

FRAME_S = 1 / 20
NO_NUMBER = "\N{EN DASH}"
CUE_VIBRATION_S = 0.15
"""How long the phone shakes as sound has arrived."""


class RecordFoot(BoxLayout):
    """The record button, alone at the foot of the page, with its words below."""

    recording = BooleanProperty(False)
    text = StringProperty()
    on_press = ObjectProperty(lambda: None)


class ReadyView(BoxLayout):
    """What the participant is going to do."""

    shape = StringProperty("wait")
    text = StringProperty()
    below = StringProperty()


class JudgingView(BoxLayout):
    """The moment in which a recording is judged."""

    text = StringProperty()


class DecideView(BoxLayout):
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
        self._n_columns = 0
        self._frames = Clock.create_trigger(self._show_live, FRAME_S, interval=True)
        super().__init__(work, place, **properties)
        self.ids.scroll.bind(height=self._measure)
        self.ids.steps.bind(height=self._measure)
        self._measure()

    def refresh(self) -> None:
        """Show the step that the session is at."""
        session = self.work.session
        if session is None:
            return
        state = session.state
        step = (state.step, state.task.id, state.round, state.attempt, state.message, "reason" in self.place.draft)
        if step == self._shown:
            self._show_live()
            return
        was_waiting = self._shown[:1] == ("waiting_for_sound",)
        self._shown = step
        if state.step == "done":
            self._frames.cancel()
            self.work.navigation.replace("result", participant_id=self.place.facts["participant_id"])
            return
        self.title = task_title(state, shown_language())
        self.ids.steps.n_steps, self.ids.steps.n_done = session.n_steps, session.n_done
        getattr(self, f"_build_{VIEWS[state.step]}")(state)
        self._follow(state.step, was_waiting)

    def leave(self) -> None:
        """Stop drawing; the recording goes on until it is ended."""
        self._frames.cancel()

    def _follow(self, step: str, was_waiting: bool) -> None:
        """Draw while sound comes; shake as it has arrived."""
        self.is_live = VIEWS[step] == "live"
        if self.is_live:
            self._frames()
        else:
            self._frames.cancel()
        if was_waiting and step == "recording":
            self.work.facilities.vibration.vibrate(CUE_VIBRATION_S)
        self._show_live()

    # ---- what each step shows ------------------------------------------------------------------------------------

    def _build_ready(self, state: object) -> None:
        view = ReadyView(shape=task_words.CUES[state.task.kind][0], text=state.task.instruction(shown_language()))
        self._put(view, record_foot(_("Start"), recording=False, press=self.work.session.start))

    def _build_live(self, state: object) -> None:
        if not isinstance(self._view, LiveView):
            self._n_columns = 0
            foot = record_foot(_("Stop"), recording=True, press=self.work.session.stop)
            self._put(LiveView(), foot)
        is_waiting = state.step == "waiting_for_sound"
        shape, say = ("wait", lambda: _("Get ready")) if is_waiting else task_words.CUES[state.task.kind]
        ground = theme.NOTE_GROUND if is_waiting else theme.NOTE if state.task.kind == "room_noise" else theme.GOOD
        self._view.cue_shape, self._view.cue_text = shape, say()
        self._view.cue_ink, self._view.cue_ground = theme.NOTE if is_waiting else theme.ON_COLOUR, ground

    def _build_judging(self, _state: object) -> None:
        self._put(JudgingView(text=_("Judging the recording")))

    def _build_decide(self, state: object) -> None:
        session, verdict = self.work.session, state.verdict
        view = DecideView(
            clock="" if "reason" in self.place.draft else clock_words(state.elapsed_s),
            kind={"good": "good", "poor": "warning"}.get(verdict.outcome, "grey"),
            heading=task_words.QUALITY_HEADINGS[verdict.outcome](),
            text="\n".join(task_words.reason_words(code) for code in verdict.reasons),
            clock_unit=_("length"),
            coughs="?" if verdict.coughs is None else str(verdict.coughs),
            coughs_unit=_("coughs"),
            counts_coughs=state.task.kind == "coughs",
        )
        self._show_columns(view)
        if "reason" in self.place.draft:
            self._build_reasons(view)
        elif verdict.outcome == "good":
            self._put(view, button(_("Keep"), session.keep), button(_("Record again"), session.redo, filled=False))
        else:
            keep = button(_("Keep it, with a reason"), self._ask_reason, filled=False)
            self._put(view, button(_("Record again"), session.redo), keep)

    def _build_reasons(self, view: DecideView) -> None:
        draft = self.place.draft
        choice = Choice([(code, say()) for code, say in task_words.KEEP_REASONS.items()], label=_("Why is it kept?"))
        keep = button(_("Keep"), lambda: self._keep_with_reason(choice.value))
        choice.bind(value=lambda _, value: (draft.update(reason=value), setattr(keep, "disabled", not value)))
        choice.value = draft["reason"]
        keep.disabled = not choice.value
        view.add_widget(choice)
        self._put(view, keep, button(_("Cancel"), self._forget_reason, filled=False))

    def _build_stopped(self, state: object) -> None:
        session = self.work.session
        kept = _("What was recorded before is kept: {time}.").format(time=clock_words(state.elapsed_s))
        text = task_words.fault_words(state.message) + (f"\n{kept}" if state.elapsed_s else "")
        view = DecideView(kind="error", heading=_("The recording stands still"), text=text)
        self._show_columns(view)
        finish = [button(_("End this recording"), session.stop, filled=False)] if state.elapsed_s else []
        self._put(view, button(_("Go on"), session.start), *finish)

    # ---- the rest ------------------------------------------------------------------------------------------------

    @property
    def _view(self) -> Widget | None:
        return self.ids.stage.children[0] if self.ids.stage.children else None

    def _put(self, view: Widget, *buttons: Widget) -> None:
        for holder, widgets in ((self.ids.stage, [view]), (self.ids.buttons, buttons)):
            holder.clear_widgets()
            for widget in widgets:
                holder.add_widget(widget)

    def _show_live(self, *_arguments: object) -> None:
        """Bring the moving values into the view; called for every picture while sound comes."""
        view, state = self._view, self.work.session.state
        if not isinstance(view, LiveView):
            return
        show_sound(view, state)
        columns = self.work.session.columns_from(self._n_columns)
        self._n_columns += len(columns)
        view.ids.spectrogram.push(columns)

    def _show_columns(self, view: DecideView) -> None:
        columns = self.work.session.columns_from(0)
        view.has_picture = len(columns) > 0 and "reason" not in self.place.draft
        view.ids.spectrogram.push(columns)

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
    "ready": "ready", "waiting_for_sound": "live", "recording": "live", "judging": "judging", "decide": "decide",
    "stopped": "stopped", "done": "done",
}  # fmt: skip
"""What each step of a session shows."""


def show_sound(view: LiveView, state: object) -> None:
    """Show the seconds, coughs, level and advice of this moment; no number before sound has arrived."""
    is_waiting = state.step == "waiting_for_sound"
    view.clock = NO_NUMBER if is_waiting else clock_words(state.elapsed_s)
    view.clock_unit = _("of {time}").format(time=clock_words(state.task.duration_s))
    view.coughs = NO_NUMBER if is_waiting else str(state.coughs)
    wanted = state.task.min_coughs
    view.coughs_unit = ngettext("of {n} cough", "of {n} coughs", wanted) if wanted else _("coughs")
    view.level_dbfs = state.level_dbfs
    view.advice_icon, view.advice_kind, say = task_words.ADVICE[state.advice]
    view.advice = say()


def task_title(state: object, language: str) -> str:
    """The task's name, with the round where it has several."""
    label = state.task.label(language)
    if state.task.rounds == 1:
        return label
    return _("{task}, {n} of {all}").format(task=label, n=state.round, all=state.task.rounds)


def clock_words(seconds: float) -> str:
    """Minutes and whole seconds, such as 0:07."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def record_foot(text: str, recording: bool, press: object) -> RecordFoot:
    """The record button with its words."""
    return RecordFoot(text=text, recording=recording, on_press=press)


def button(text: str, press: object, filled: bool = True) -> PillButton:
    """A button that calls `press`."""
    pill = PillButton(text=text, filled=filled)
    pill.bind(on_release=lambda _: press())
    return pill


# The rules of this page use those of other widgets, which therefore have to be known first.
RULES_NEEDED = (live_view,)
Builder.load_file(str(Path(__file__).with_suffix(".kv")))
