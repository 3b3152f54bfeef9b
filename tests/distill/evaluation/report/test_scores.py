"""Going through recordings: a run that was stopped goes on, and nothing stale is taken over."""

import numpy as np
import pytest

from core.audio import write_wav
from core.errors import AudioError, OutputError
from distill.evaluation.report.scores import go_through, open_journal


class StoppedError(Exception):
    """What a test stops a run with."""


@pytest.fixture
def recordings(tmp_path):
    paths = [tmp_path / f"{i}.wav" for i in range(5)]
    for i, path in enumerate(paths):
        write_wav(path, (0.1 * np.random.default_rng(i).standard_normal(8000)).astype(np.float32))
    return paths


def counting(calls, stop_at=None):
    def answer(path):
        if len(calls) == stop_at:
            raise StoppedError
        calls.append(path.name)
        return {"score": len(path.name) / 10}

    return answer


def test_a_run_that_was_stopped_goes_on_and_gives_what_one_run_gives(tmp_path, recordings):
    whole = go_through(recordings, counting([]), "a", open_journal(None), "x")
    out, calls = tmp_path / "report.json", []
    with pytest.raises(StoppedError), open_journal(out) as journal:
        go_through(recordings, counting(calls, 3), "a", journal, "x")
    assert calls == ["0.wav", "1.wav", "2.wav"]
    with open_journal(out) as journal:
        assert go_through(recordings, counting(calls), "a", journal, "x") == whole
    assert calls == [f"{i}.wav" for i in range(5)]


def test_another_model_or_an_altered_file_is_asked_again(tmp_path, recordings):
    out = tmp_path / "report.json"
    with open_journal(out) as journal:
        go_through(recordings, counting([]), "a", journal, "x")
    write_wav(recordings[2], np.full(8000, 0.25, np.float32))
    calls = []
    with open_journal(out) as journal:
        go_through(recordings, counting(calls), "a", journal, "x")
    assert calls == ["2.wav"]
    with open_journal(out) as journal:
        go_through(recordings, counting(calls), "b", journal, "x")
    assert len(calls) == 6


def test_one_sound_in_two_files_has_one_hash_and_hashing_can_be_left_out(tmp_path, recordings):
    with open_journal(None) as journal:
        first, second = go_through([recordings[0], recordings[1]], None, "", journal, "x")
        assert first["sound_sha256"] != second["sound_sha256"] and "channel" not in first
        assert go_through([recordings[0]], None, "", journal, "x", is_sound_hashed=False)[0]["sound_sha256"] == ""


def test_a_damaged_recording_and_a_journal_of_something_else_are_refused(tmp_path, recordings):
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    with pytest.raises(AudioError), open_journal(None) as journal:
        go_through([tmp_path / "bad.wav"], counting([]), "a", journal, "x")
    (tmp_path / "report.json.partial").write_text('{"schema": "tussis.screening/1"}\n')
    with pytest.raises(OutputError):
        open_journal(tmp_path / "report.json")
