"""The command tussis-app."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DISPLAY_NAMES = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")


def run_app(*arguments, environment=os.environ):
    return subprocess.run(
        [sys.executable, "-m", "app.main", *map(str, arguments)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def sentences(done) -> list[str]:
    """The lines on stderr that are ours: the model's runtime says there which delegate it uses."""
    return [line for line in done.stderr.splitlines() if not line.startswith("INFO:")]


def test_help_needs_neither_kivy_nor_a_sound_card():
    script = (
        "import sys\nsys.modules['kivy'] = sys.modules['sounddevice'] = None\n"
        "import app.main, app.controller, app.recorder, app.devices.desktop_microphone\napp.main.main(['--help'])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "tussis-app cough.wav" in done.stdout


@pytest.mark.parametrize("threads", ["0", "-1", "two", "1000"])
def test_an_impossible_number_of_threads_is_refused(threads):
    done = run_app("--threads", threads)
    assert done.returncode == 2
    assert "expected 1 to" in done.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere there always is a display")
def test_without_a_display_there_is_one_sentence_and_no_window_that_nobody_sees():
    environment = {name: value for name, value in os.environ.items() if name not in DISPLAY_NAMES}
    done = run_app(environment=environment)
    assert done.returncode == 2
    assert done.stderr.startswith("tussis-app: there is no display")
    assert len(sentences(done)) == 1


def test_a_picture_of_the_demonstration_is_written(drawing_surface, kivy_environment, tmp_path, default_bundle):
    done = run_app("--screenshot", tmp_path / "app.png", environment=kivy_environment)
    assert done.returncode == 0, done.stderr
    content = (tmp_path / "app.png").read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(content[16:20], "big") == 720
    assert len(content) > 20_000


@pytest.mark.parametrize("name", ["nowhere.wav", "notes.wav"])
def test_a_picture_of_a_recording_that_cannot_be_screened_is_refused(
    drawing_surface, kivy_environment, tmp_path, default_bundle, name
):
    (tmp_path / "notes.wav").write_text("no sound")
    done = run_app(tmp_path / name, "--screenshot", tmp_path / "app.png", environment=kivy_environment)
    assert done.returncode == 2
    assert str(tmp_path / name) in done.stderr
    assert len(sentences(done)) == 1
    assert not (tmp_path / "app.png").exists()


def test_a_bundle_that_is_not_there_is_one_sentence(drawing_surface, kivy_environment, tmp_path):
    done = run_app("--bundle", tmp_path / "b", "--screenshot", tmp_path / "app.png", environment=kivy_environment)
    assert done.returncode == 2
    assert str(tmp_path / "b") in done.stderr
    assert len(sentences(done)) == 1


def test_a_picture_that_cannot_be_written_is_refused_before_any_work(drawing_surface, kivy_environment, tmp_path):
    done = run_app("--screenshot", tmp_path / "nowhere" / "app.png", environment=kivy_environment)
    assert done.returncode == 2
    assert "cannot be written" in done.stderr


def test_the_app_takes_only_bundles_of_those_whom_it_is_told_to_trust(
    drawing_surface, kivy_environment, tmp_path, default_bundle
):
    done = run_app("--screenshot", tmp_path / "app.png", "--require-signature", environment=kivy_environment)
    assert done.returncode == 2 and "is not signed; expected a signature" in done.stderr
    assert not (tmp_path / "app.png").exists()


def test_a_file_of_keys_that_is_none_is_said_before_anything_is_opened(tmp_path):
    (tmp_path / "keys").write_text("nonsense\n")
    done = run_app("--trusted", tmp_path / "keys")
    assert done.returncode == 2 and "line 1 of" in done.stderr and len(sentences(done)) == 1
