"""The engineer's page, by taps."""

import gc
import time

import numpy as np
import pytest

from app.imported_model import IMPORTED_NAME, load_model
from core.audio import write_wav
from core.demonstration import synthesize_demonstration
from core.screener import Screener


@pytest.fixture
def engineer(window, stage, default_bundle):
    """Opens the engineer's page; `engineer(…)` takes the place's facts and the window's options."""

    def open_page(load_screener=lambda: Screener(default_bundle), **facts):
        shell = window(load_screener=load_screener)
        shell.work.navigation.go("engineer", **facts)
        stage.wait(lambda: shell.work.screener is not None or shell.work.screener_error)
        stage.draw()
        return shell

    return open_page


def words_in_one_line(stage) -> str:
    return " ".join(stage.text.split())


def test_the_page_tells_the_model_its_hashes_its_signature_and_the_status_of_each_probe(
    engineer, stage, default_bundle
):
    engineer()
    text = words_in_one_line(stage)
    assert default_bundle.name in text and default_bundle.signature.words in text
    assert default_bundle.sha256 in text.replace(" ", "") and default_bundle.model_sha256 in text.replace(" ", "")
    for probe in default_bundle.probes:
        assert probe.title in text
    assert text.count("DEMONSTRATION") == len(default_bundle.probes)
    stage.press_words("Show the model card")
    stage.wait(lambda: "Not a medical device" in stage.text)


def test_a_recording_that_is_chosen_shows_what_the_screener_gives_with_the_milliseconds_of_each_stage(
    engineer, stage, default_bundle
):
    shell = engineer()
    path = shell.work.facilities.files.folder / "demonstration.wav"
    write_wav(path, synthesize_demonstration())
    stage.press_words("Open a recording")
    stage.press_words("demonstration.wav")
    stage.wait(lambda: "Time taken" in stage.text)
    expected = Screener(default_bundle).screen(path)
    text = words_in_one_line(stage)
    assert f"{expected.cough_count} coughs" in text
    assert "demonstration.wav · 6.0 s · 16000 Hz" in text
    for stage_name in expected.timing_ms:
        assert stage_name.replace("_", " ").capitalize() in text
    assert text.count("Not a medical result") == len(default_bundle.probes)


@pytest.mark.long
def test_the_recording_of_the_command_line_is_screened_as_soon_as_the_model_is_there(engineer, stage, tmp_path):
    write_wav(tmp_path / "a.wav", synthesize_demonstration())
    engineer(recording=tmp_path / "a.wav")
    stage.wait(lambda: "3 coughs" in stage.text)


@pytest.mark.long
def test_a_silent_recording_is_not_scored_and_nothing_says_no_cough(engineer, stage, tmp_path):
    write_wav(tmp_path / "a.wav", np.zeros(48_000, np.float32))
    engineer(recording=tmp_path / "a.wav")
    stage.wait(lambda: "Not scored" in stage.text)
    assert "This is not a negative result: the recording could not be judged." in stage.text
    assert "No cough heard" not in stage.text and "Sounds heard" not in stage.text


def test_a_recording_that_is_none_is_one_sentence(engineer, stage, tmp_path):
    (tmp_path / "notes.wav").write_text("no sound")
    engineer(recording=tmp_path / "notes.wav")
    stage.wait(lambda: str(tmp_path / "notes.wav") in words_in_one_line(stage))
    assert "Time taken" not in stage.text


def test_a_model_that_did_not_load_is_a_sentence_and_another_one_can_be_imported(
    engineer, stage, tiny_bundle, tmp_path
):
    folder = tmp_path / "data"
    shell = engineer(load_screener=lambda: Screener(load_model(folder, *([] if exists(folder) else [tmp_path / "no"]))))
    assert "there is no such bundle folder" in words_in_one_line(stage)
    assert stage_button(stage, "Open a recording") is None
    bring_model(shell, tiny_bundle)
    stage.press_words("Import a model")
    stage.press_words("tiny.tussis")
    stage.wait(lambda: shell.work.screener is not None)
    stage.draw()
    assert "test bundle" in stage.text
    assert stage_button(stage, "Open a recording") is not None


@pytest.mark.long
def test_an_imported_model_is_used_from_then_on_and_can_be_taken_away_again(engineer, stage, tiny_bundle, tmp_path):
    shell = engineer(load_screener=lambda: Screener(load_model(tmp_path / "data")))
    assert "tussis-small" in stage.text
    bring_model(shell, tiny_bundle)
    stage.press_words("Import a model")
    stage.press_words("tiny.tussis")
    stage.wait(lambda: "test bundle" in stage.text)
    stage.press_words("Use the model that comes with Tussis")
    stage.wait(lambda: "tussis-small" in stage.text)
    assert not exists(tmp_path / "data")


def test_a_model_that_is_altered_is_refused_with_a_sentence_and_the_one_before_stays(
    engineer, stage, tiny_bundle, tmp_path
):
    shell = engineer(load_screener=lambda: Screener(load_model(tmp_path / "data")))
    path = bring_model(shell, tiny_bundle)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    stage.press_words("Import a model")
    stage.press_words("tiny.tussis")
    stage.wait(lambda: not shell.work.is_working)
    assert "tussis-small" in stage.text and "tiny.tussis" in words_in_one_line(stage)
    assert not exists(tmp_path / "data")


@pytest.mark.long
def test_a_page_that_is_built_anew_shows_the_same_result(engineer, stage, tmp_path):
    write_wav(tmp_path / "a.wav", synthesize_demonstration())
    shell = engineer(recording=tmp_path / "a.wav")
    stage.wait(lambda: "3 coughs" in stage.text)
    before = stage.text
    shell.rebuild()
    stage.draw()
    assert stage.text == before


@pytest.mark.long
def test_the_result_of_twenty_minutes_with_hundreds_of_coughs_does_not_block(engineer, stage, default_bundle):
    shell = engineer()
    result = Screener(default_bundle).screen_blocks([synthesize_demonstration()], 16_000, "a.wav").to_json()
    cough = {"label": "cough", "probability": 0.8}
    events = [cough | {"start_s": 1.5 * n, "end_s": 1.5 * n + 0.4} for n in range(800)]
    long = result | {"events": events, "cough_count": 800, "recording": result["recording"] | {"duration_s": 1200.0}}

    def shown_in_s(screening) -> float:
        shell.work.navigation.top.draft.update(screening=screening, report="")
        started_s = time.process_time()
        shell.rebuild()
        stage.draw(1)
        return time.process_time() - started_s

    gc.collect()
    gc.disable()  # a collection in the heap of a test run takes longer than all the rest
    try:
        short_s, long_s = (min(shown_in_s(screening) for _ in range(3)) for screening in (result, long))
    finally:
        gc.enable()
    assert long_s < 0.5
    assert long_s < 2 * short_s
    assert "800 coughs" in stage.text and "and 760 more; the copied text has them" in words_in_one_line(stage)


def bring_model(shell, bundle_folder):
    """Put a bundle as one file where the page's list of files begins; its path."""
    from core.bundle import load_bundle
    from core.bundle_files import archive_content

    path = shell.work.facilities.files.folder / "tiny.tussis"
    path.write_bytes(archive_content(load_bundle(bundle_folder).read_files()))
    return path


def exists(folder) -> bool:
    return (folder / IMPORTED_NAME).exists()


def stage_button(stage, text):
    return next((button for button in stage.buttons() if getattr(button, "text", "") == text), None)
