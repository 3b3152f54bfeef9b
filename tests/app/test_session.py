"""Where recordings are kept, and under which names."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

from app.session import new_recording_path, recordings_folder


def test_a_name_gives_the_time_in_utc_whatever_the_zone(tmp_path):
    now = datetime(2026, 3, 1, 1, 30, 5, tzinfo=timezone(timedelta(hours=2)))
    assert new_recording_path(tmp_path, now).name == "recording-20260228T233005Z.wav"


def test_a_second_recording_of_the_same_second_gets_another_name(tmp_path):
    now = datetime(2026, 3, 1, tzinfo=UTC)
    names = []
    for _ in range(3):
        path = new_recording_path(tmp_path, now)
        path.touch()
        names.append(path.name)
    assert names == [f"recording-20260301T000000Z{end}.wav" for end in ("", "-2", "-3")]


def test_tussis_home_decides_before_the_platform(monkeypatch):
    monkeypatch.delenv("TUSSIS_HOME", raising=False)
    assert recordings_folder(Path("data")) == Path("data/recordings")
    monkeypatch.setenv("TUSSIS_HOME", "elsewhere")
    assert recordings_folder(Path("data")) == Path("elsewhere/recordings")
