"""The command tussis-app."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DISPLAY_NAMES = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")

# Runs the command for real, presses Escape in the window, and ends it a little later.
SCRIPT = """
import sys
from app import main

def watch(folder, prepare=main._prepare_kivy):
    prepare(folder)
    from kivy.clock import Clock
    from app import window

    def look(app):
        from kivy.core.window import Window
        Window.dispatch("on_keyboard", 27, 1, None, [])
        Clock.schedule_once(lambda _: end(app), 3)

    def end(app):
        print("SHOWN", app.work.navigation.top.name, app.work.screener is not None)
        app.stop()

    def on_start(app, start=window.TussisApp.on_start):
        start(app)
        Clock.schedule_once(lambda _: look(app), 0.5)

    window.TussisApp.on_start = on_start

main._prepare_kivy = watch
main.main(sys.argv[1:])
"""


def run_app(*arguments, environment=os.environ):
    return subprocess.run(
        [sys.executable, "-m", "app.main", *map(str, arguments)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def sentences(done) -> list[str]:
    """The lines on stderr that are ours: the model's runtime says there which delegate it uses."""
    return [line for line in done.stderr.splitlines() if not line.startswith("INFO:")]


@pytest.fixture
def look_at_window(drawing_surface, kivy_environment, tmp_path):
    """Opens the real window offscreen for a few seconds; gives the finished process."""

    def look(*arguments, **environment):
        home = {"TUSSIS_HOME": str(tmp_path / "tussis"), **environment}
        inherited = {name: value for name, value in kivy_environment.items() if name != "KIVY_HOME"}
        return subprocess.run(
            [sys.executable, "-c", SCRIPT, *map(str, arguments)],
            cwd=ROOT, env=inherited | home, capture_output=True, text=True, timeout=120,
        )  # fmt: skip

    return look


def test_help_needs_neither_kivy_nor_a_sound_card():
    script = (
        "import sys\nsys.modules['kivy'] = sys.modules['sounddevice'] = None\n"
        "import app.main, app.field_work, app.recorder, app.devices.desktop.microphone\napp.main.main(['--help'])"
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


@pytest.mark.long
def test_the_window_opens_without_a_home_folder_and_escape_does_not_end_it(look_at_window, tmp_path):
    nowhere = tmp_path / "nowhere"
    done = look_at_window(HOME=str(nowhere), XDG_CONFIG_HOME=str(nowhere / "config"))
    assert done.returncode == 0, done.stderr
    assert "SHOWN unlock True" in done.stdout
    assert not nowhere.exists()
    assert "Traceback" not in done.stderr


@pytest.mark.long
def test_a_recording_on_the_command_line_opens_the_engineers_page(look_at_window, tmp_path):
    done = look_at_window(tmp_path / "nowhere.wav")
    assert "SHOWN unlock" in done.stdout, done.stderr  # Escape went up from the engineer's page


def test_a_second_window_over_the_same_records_is_refused_in_one_sentence(look_at_window, tmp_path):
    from app.data_folder import FolderLock

    (tmp_path / "tussis").mkdir()
    lock = FolderLock(tmp_path / "tussis")
    try:
        done = look_at_window()
    finally:
        lock.release()
    assert done.returncode == 2
    assert sentences(done) == ["tussis-app: Tussis is open in another window already; close that one first."]


def test_a_folder_that_cannot_be_made_is_one_sentence(look_at_window, tmp_path):
    (tmp_path / "file").touch()
    done = look_at_window(TUSSIS_HOME=str(tmp_path / "file" / "data"))
    assert done.returncode == 2
    assert len(sentences(done)) == 1
    assert str(tmp_path / "file" / "data") in done.stderr


def test_an_unknown_signer_policy_is_one_sentence(look_at_window, tmp_path):
    done = look_at_window("--trusted", tmp_path / "no-keys")
    assert done.returncode == 2
    assert len(sentences(done)) == 1
