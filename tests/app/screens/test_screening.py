"""The window, drawn offscreen and pressed with real touches."""

import numpy as np
import pytest

from app import strings
from app.controller import Controller
from app.devices.microphone import MicrophoneError
from app.session import Session, State
from core.audio import write_wav
from core.demonstration import synthesize_demonstration
from core.screener import Screener

MIN_TOUCH_DP = 48


@pytest.fixture
def screen_with(stage, tmp_path):
    """Builds the screen on the stage, with a screener and a microphone."""
    from kivy.clock import Clock

    from app.screens.screening import ScreeningScreen

    controllers = []

    def build(screener, microphone=None):
        controller = Controller(
            lambda: screener, microphone, tmp_path / "recordings", lambda job: Clock.schedule_once(lambda _: job())
        )
        controllers.append(controller)
        screen = ScreeningScreen(controller)
        stage.show(screen)
        controller.open()
        stage.wait(lambda: controller.session.bundle is not None)
        return screen

    yield build
    for controller in controllers:
        controller.close()


def record(stage, screen, microphone) -> Session:
    """Press record, wait for the fake microphone to finish, press stop, wait for the end."""
    controller = screen.controller
    stage.press(screen.panel.ids.record_button)
    assert controller.session.state is State.RECORDING
    stage.wait(microphone.all_delivered.is_set)
    stage.press(screen.panel.ids.record_button)
    stage.wait(lambda: controller.session.state in (State.RESULT, State.ERROR))
    return controller.session


def picture_of(widget, path) -> np.ndarray:
    """What `widget` looks like, written to `path` and read back, uint8, shape (height, width, 4)."""
    from kivy.core.image import Image

    widget.export_to_png(str(path))
    data = Image(str(path), keep_data=True).image._data[0]
    return np.frombuffer(data.data, np.uint8).reshape(data.height, data.width, -1)


def without_timing(result) -> dict:
    return {key: value for key, value in result.items() if key != "timing_ms"}


def test_record_and_stop_show_what_the_screener_gives_for_the_recorded_file(
    stage, screen_with, fake_microphone, default_bundle, tmp_path
):
    microphone = fake_microphone(synthesize_demonstration(), 16_000)
    screener = Screener(default_bundle)
    screen = screen_with(screener, microphone)
    session = record(stage, screen, microphone)
    screening = screener.screen(session.path).to_json()
    assert without_timing(session.result) == without_timing(screening)
    words = stage.words(screen.panel)
    assert strings.cough_count(screening["cough_count"]) in words
    for probe in screening["probes"]:
        assert strings.STATUS[probe["status"]] in words
        assert (probe["reason"] or "") in words
    assert screening["model"]["sha256"][:12] in words
    for label in screening["event_scores"]:
        assert strings.label(label) in words
    pixels = picture_of(screen, tmp_path / "result.png")
    assert pixels.shape[:2] == (640, 360)
    assert len(np.unique(pixels[..., :3].reshape(-1, 3), axis=0)) > 50


def test_the_coughs_of_a_recording_are_shown_with_their_times(
    stage, screen_with, fake_microphone, stand_in_screener, bursts
):
    microphone = fake_microphone(bursts(48_000))
    screen = screen_with(stand_in_screener, microphone)
    session = record(stage, screen, microphone)
    words = stage.words(screen.panel)
    assert "2 coughs" in words
    assert "00:00.8-00:0" in words
    assert "00:01.9-00:02" in words
    assert session.path.name in words


def test_the_level_and_the_time_move_while_recording(stage, screen_with, fake_microphone, stand_in_screener):
    times_s = np.arange(48_000) / 48_000
    microphone = fake_microphone(0.1 * np.sin(2 * np.pi * 500 * times_s))
    screen = screen_with(stand_in_screener, microphone)
    stage.press(screen.panel.ids.record_button)
    stage.wait(lambda: screen.panel.elapsed == "00:01.0")
    assert screen.panel.peak_dbfs == pytest.approx(-20.0, abs=0.1)
    assert screen.panel.ids.meter.rms_fraction == pytest.approx(1 - 23.01 / 60, abs=0.01)
    words = stage.words(screen.panel)
    assert strings.GOOD_LEVEL in words
    assert "-23 dBFS" in words


def test_silence_says_not_scored_and_nothing_that_could_be_read_as_negative(
    stage, screen_with, fake_microphone, stand_in_screener
):
    microphone = fake_microphone(np.zeros(48_000))
    screen = screen_with(stand_in_screener, microphone)
    record(stage, screen, microphone)
    words = stage.words(screen.panel)
    assert strings.NOT_SCORED in words
    assert strings.quality_reason("silent") in words
    assert strings.cough_count(0) not in words
    assert strings.SOUNDS not in words


def test_a_demonstration_probe_shows_its_badge_and_its_reason_and_no_number(
    stage, screen_with, fake_microphone, stand_in_screener, bursts
):
    microphone = fake_microphone(bursts(48_000))
    screen = screen_with(stand_in_screener, microphone)
    record(stage, screen, microphone)
    (card,) = [card for card in screen.panel.ids.cards.children if "DEMONSTRATION ONLY" in stage.words(card)]
    assert stage.words(card).splitlines() == [
        "A probe that only shows how",
        "DEMONSTRATION ONLY",
        strings.NOT_SCORED,
        "Demonstration only: fitted on synthetic sound. It says nothing about this person.",
    ]


def test_a_research_probe_shows_its_decision_its_number_and_that_it_is_research(stage, screen_with, stand_in_screener):
    from app.screens.result_cards import result_cards

    probe = {"name": "x", "status": "research", "decision": "not referred", "score": 0.314, "unit": "probability"}
    result = stand_in_screener.screen_blocks([np.zeros(32_000, np.float32)], 16_000, "a.wav").to_json()
    result |= {"probes": [probe | {"reason": None}]}
    cards = result_cards(result, Session(State.RESULT, result=result))
    words = "\n".join(stage.words(card) for card in cards)
    assert "RESEARCH ONLY" in words
    assert "Not referred (0.31 probability)" in words


def test_the_model_is_shown_with_who_signed_it_and_a_claim_to_be_validated_as_a_claim(
    stage, screen_with, stand_in_screener
):
    from app.screens.result_cards import result_cards

    screen = screen_with(stand_in_screener)
    assert "test bundle" in stage.words(screen.panel) and "\u00b7 unsigned" in stage.words(screen.panel)
    probe = {"name": "x", "status": "unverified", "decision": "refer", "score": 1.0, "unit": "probability"}
    result = stand_in_screener.screen_blocks([np.zeros(32_000, np.float32)], 16_000, "a.wav").to_json()
    result |= {"probes": [probe | {"reason": None}]}
    cards = result_cards(result, Session(State.RESULT, result=result, bundle=stand_in_screener.bundle))
    words = "\n".join(stage.words(card) for card in cards)
    assert "Signature: unsigned" in words and "NOT VERIFIED" in words and "VALIDATED" not in words
    assert "It calls itself validated, but no trusted key signed the bundle." in words


def test_a_missing_microphone_is_one_sentence_and_a_file_can_be_opened(
    stage, screen_with, stand_in_screener, bursts, tmp_path
):
    class Missing:
        n_overflows = 0

        def start(self, on_block):
            raise MicrophoneError("No microphone was found; opening a recording still works.")

    (tmp_path / "recordings" / "older").mkdir(parents=True)
    write_wav(tmp_path / "recordings" / "a.wav", bursts(16_000))
    (tmp_path / "recordings" / "notes.txt").touch()
    screen = screen_with(stand_in_screener, Missing())
    stage.press(screen.panel.ids.record_button)
    assert "No microphone was found; opening a recording still works." in stage.words(screen.panel)
    stage.press(screen.panel.ids.open_button)
    rows = rows_of(stage)
    assert list(rows) == [strings.PARENT_FOLDER, "older/", "a.wav"]
    stage.press(rows["a.wav"])
    stage.wait(lambda: screen.controller.session.state is State.RESULT)
    assert "2 coughs" in stage.words(screen.panel)


def test_an_address_that_leads_nowhere_is_told_and_cancel_leads_back(stage, screen_with, stand_in_screener, tmp_path):
    screen = screen_with(stand_in_screener)
    stage.press(screen.panel.ids.open_button)
    chooser = chooser_of()
    chooser.go(tmp_path / "nowhere.wav")
    assert chooser.message == f"There is no {tmp_path / 'nowhere.wav'}."
    stage.press(chooser.ids.cancel_button)
    stage.wait(lambda: chooser_of() is None)
    assert screen.controller.session.state is State.IDLE


def test_after_a_result_one_can_record_again(stage, screen_with, fake_microphone, stand_in_screener, bursts):
    microphone = fake_microphone(bursts(48_000))
    screen = screen_with(stand_in_screener, microphone)
    first = record(stage, screen, microphone)
    stage.press(screen.panel.ids.again_button)
    second = record(stage, screen, microphone)
    assert second.path != first.path
    assert second.result["recording"]["sha256"] == first.result["recording"]["sha256"]


def test_whatever_can_be_pressed_is_at_least_48_dp_high_and_wide_and_inside_the_phone(
    stage, screen_with, fake_microphone, stand_in_screener, bursts
):
    from kivy.uix.behaviors import ButtonBehavior

    microphone = fake_microphone(bursts(48_000))
    screen = screen_with(stand_in_screener, microphone)
    panels = [screen.panel]
    stage.press(screen.panel.ids.open_button)
    assert min(row.height for row in rows_of(stage).values()) >= MIN_TOUCH_DP
    chooser_of().dismiss(animation=False)
    record(stage, screen, microphone)
    for panel in [*panels, screen.panel]:
        buttons = [widget for widget in panel.walk(restrict=True) if isinstance(widget, ButtonBehavior)]
        assert len(buttons) >= 2
        for button in buttons:
            assert min(button.size) >= MIN_TOUCH_DP, button
            assert button.to_window(button.right, 0)[0] <= 360


def test_every_text_colour_has_a_contrast_of_at_least_4_5_on_its_ground(drawing_surface):
    from app.screens import theme

    def luminance(colour) -> float:
        linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in colour[:3]]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    pairs = [
        (ink, ground) for ink in (theme.TEXT, theme.SECONDARY, theme.PRIMARY) for ground in (theme.GROUND, theme.CARD)
    ]
    pairs += [(theme.ON_COLOUR, theme.PRIMARY), (theme.ON_COLOUR, theme.RECORD), (theme.GOOD, theme.GOOD_GROUND)]
    pairs += [(theme.WARNING, theme.WARNING_GROUND), (theme.WARNING, theme.CARD), (theme.TEXT, theme.WARNING_GROUND)]
    pairs += [(theme.ERROR, theme.ERROR_GROUND), (theme.NOTE, theme.NOTE_GROUND), (theme.SECONDARY, theme.ERROR_GROUND)]
    pairs += [(theme.SECONDARY, theme.WARNING_GROUND)]
    for ink, ground in pairs:
        light, dark = sorted((luminance(ink), luminance(ground)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, ground)


def chooser_of():
    """The open dialogue, or None."""
    from kivy.core.window import Window

    from app.screens.open_recording import OpenRecording

    return next((child for child in Window.children if isinstance(child, OpenRecording)), None)


def rows_of(stage) -> dict:
    """The rows of the open dialogue by their text, from top to bottom."""
    from app.screens.open_recording import FileRow

    stage.draw(12)
    rows = [widget for widget in chooser_of().walk(restrict=True) if isinstance(widget, FileRow)]
    return {row.text: row for row in sorted(rows, key=lambda row: -row.y)}
