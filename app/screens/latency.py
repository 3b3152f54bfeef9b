"""Measures how long screenings take on this device, shows the times, and saves them as a file."""

from datetime import UTC, datetime
from pathlib import Path

from kivy.clock import Clock
from kivy.lang import Builder
from kivy.uix.widget import Widget

from app.devices.condition import DeviceCondition
from app.imported_model import IMPORTED_NAME
from app.latency.page import TOTAL
from app.measurement import RUNS, THREADS, Measurement, Measuring, Setting, StoppedError
from app.widgets.controls import Bar, Card, Heading, LinkButton, Notice, Pair, Secondary
from app.widgets.inputs import Chips
from app.widgets.page import Page
from app.wording.task_words import stage_words
from app.words import _
from core.errors import TussisError
from core.files import write_atomically

MOVED_EVERY_S = 0.2
SHOWN_PERCENTILES = ("p50_ms", "p90_ms", "p99_ms")


class LatencyPage(Page):
    """What is chosen, what runs and what was found stand in the place's draft."""

    def __init__(self, *arguments: object, **properties: object) -> None:
        super().__init__(*arguments, **properties)
        self._moving = Clock.schedule_interval(lambda _: self._move(), MOVED_EVERY_S)

    def refresh(self) -> None:
        """Show the choices and what was found, or how far it is."""
        draft = self.place.draft
        run, found, error = draft.get("run"), draft.get("found"), draft.get("error", "")
        if self.shows(run, found, error):
            return
        self.clear()
        if run is not None:
            self._show_running(run)
            return
        if error:
            self.add_widget(Notice(kind="error", text=error))
        self._show_choices()
        for card in cards(found) if found is not None else ():
            self.add_widget(card)
        self.add_button(_("Measure"), self.press_measure, filled=found is None)
        if found is not None:
            copy = LinkButton(text=_("Copy result as text"))
            copy.bind(on_release=lambda _: self.press_copy())
            self.add_widget(copy)
            self.add_button(_("Save the file"), self.press_save)

    def leave(self) -> None:
        """Stop what runs, unless the same place is only built anew."""
        self._moving.cancel()
        run = self.place.draft.get("run")
        if run is not None and self.work.navigation.top is not self.place:
            run.stop()

    def press_measure(self) -> None:
        """Measure on a thread with a model of its own."""
        draft, work = self.place.draft, self.work
        setting = Setting(draft["model"] == "imported", int(draft["threads"]), draft["kernels"] == "xnnpack")
        run = Measuring(setting, work.folder, work.trust, RUNS)
        draft.update(run=run, error="")

        def refuse(error: TussisError) -> None:
            draft.update(run=None, error="" if isinstance(error, StoppedError) else str(error))

        work.run(run.measure, lambda found: draft.update(run=None, found=found), refuse, in_background=True)

    def press_save(self) -> None:
        """Save what was found where the person wants it."""
        work, text = self.work, self.place.draft["found"].as_json
        name = f"tussis-latency-{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
        files = work.facilities.files
        if not files.can_ask():
            work.choose_file((), lambda folder: work.run(lambda: write_atomically(folder / name, text), self._saved))
            return
        copy = work.folder / name

        def end(sentence: str) -> None:
            copy.unlink(missing_ok=True)
            work.schedule(lambda: work.say("error", sentence) if sentence else self._saved(None))

        work.run(lambda: write_atomically(copy, text), lambda _: files.ask_to_save(copy, name, end))

    def press_copy(self) -> None:
        """Put the file's text where other applications can take it."""
        from kivy.core.clipboard import Clipboard

        Clipboard.copy(self.place.draft["found"].as_json)
        self.work.say("good", _("Copied"))

    def _saved(self, _result: object) -> None:
        self.work.say("good", _("The file is saved."))

    def _show_choices(self) -> None:
        draft = self.place.draft
        models = [("shipped", _("The one that comes with Tussis"))]
        if (self.work.folder / IMPORTED_NAME).exists():
            models.append(("imported", _("The imported one")))
        kernels = [("xnnpack", "XNNPACK"), ("builtin", _("Built-in"))]
        threads = [(str(number), str(number)) for number in THREADS]
        card = Card()
        for name, label, options in (
            ("model", _("Model"), models),
            ("threads", _("Threads"), threads),
            ("kernels", _("Kernels"), kernels),
        ):
            draft.setdefault(name, options[0][0])
            card.add_widget(Secondary(text=label))
            chips = Chips(options, value=draft[name])
            chips.bind(value=lambda _, value, name=name: draft.__setitem__(name, value))
            card.add_widget(chips)
        self.add_widget(card)

    def _show_running(self, run: Measuring) -> None:
        card = Card()
        self._done, self._bar = Heading(), Bar()
        for widget in (self._done, self._bar, Secondary(text=_("Leave the device alone until it is done."))):
            card.add_widget(widget)
        self.add_widget(card)
        self.add_button(_("Stop"), run.stop, filled=False)
        self._tell(run)

    def _move(self) -> None:
        run = self.place.draft.get("run")
        if run is not None:
            self.work.touched()
            self._tell(run)

    def _tell(self, run: Measuring) -> None:
        self._done.text = _("{n} of {all} screenings").format(n=run.n_done, all=run.n_runs)
        self._bar.fraction = min(1.0, run.n_done / run.n_runs)


def cards(found: Measurement) -> list[Widget]:
    """What was found: the whole screening, its stages, and the device."""
    latency = found.latency
    total = latency.stages[TOTAL]
    kernels = "XNNPACK" if found.setting.xnnpack else _("Built-in")
    whole = _card(
        _("A screening of {seconds} s of sound").format(seconds=f"{latency.audio_s:g}"),
        *((name[:-3], milliseconds(total[name])) for name in SHOWN_PERCENTILES),
        (_("First run"), milliseconds(latency.first_run_ms)),
        (_("Loading the model"), milliseconds(found.load_ms)),
        (_("Real-time factor"), f"{total['rtf']:.4f}"),
        (_("Screenings"), str(latency.n_runs)),
        (_("Model"), found.model),
        (_("Threads and kernels"), f"{found.setting.threads} · {kernels}"),
    )
    stages = _card(
        _("Stages: p50 · p90 · p99 in ms"),
        *(
            (stage_words(stage), " · ".join(f"{times[name]:.1f}" for name in SHOWN_PERCENTILES))
            for stage, times in latency.stages.items()
            if stage != TOTAL
        ),
    )
    device = _card(
        _("Device"),
        (_("Heat before"), heat_words(found.before)),
        (_("Heat after"), heat_words(found.after)),
        (_("Charge"), charge_words(found.after)),
    )
    return [whole, stages, device]


def milliseconds(value_ms: float) -> str:
    """Such as 12.3 ms."""
    return f"{value_ms:.1f} ms"


def heat_words(condition: DeviceCondition) -> str:
    """Degrees Celsius, and Android's word where it has one."""
    degrees = "" if condition.warmest_c is None else f"{condition.warmest_c:.1f} °C"
    return " · ".join(filter(None, (degrees, condition.thermal_status))) or _("not known")


def charge_words(condition: DeviceCondition) -> str:
    """How full the battery is, and whether it is charged."""
    percent = "" if condition.battery_percent is None else f"{condition.battery_percent} %"
    return " · ".join(filter(None, (percent, _("charging") if condition.is_charging else ""))) or _("not known")


def _card(heading: str, *pairs: tuple[str, str]) -> Card:
    card = Card()
    card.add_widget(Heading(text=heading))
    for name, value in pairs:
        card.add_widget(Pair(name=name, value=value))
    return card


Builder.load_file(str(Path(__file__).with_suffix(".kv")))
