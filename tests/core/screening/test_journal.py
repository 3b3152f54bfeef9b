"""What a run finds is on disk at once; what a kill left is read, and what is no journal is left alone."""

import json
import shutil
from pathlib import Path

import pytest

from core.errors import OutputError
from core.screen_command import main
from core.screening.journal import Journal, journal_of, read_journal

SCHEMA = "tussis.screening/1"
STREAM = {"recording": {"path": "standard input", "duration_s": 0.0}, "totals": {"cough_count": None}}


def result(path: str, **more: object) -> dict:
    return {"recording": {"path": path}, "cough_count": 1, **more}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.json"


def test_each_result_is_on_disk_at_once_and_the_next_run_finds_it(out: Path) -> None:
    with Journal(out, SCHEMA) as journal:
        assert list(out.parent.iterdir()) == []
        journal.note(result=result("a.wav"))
        journal.note(result=result("caf\udce9.wav", error="bad"))
        assert json.loads(journal.path.read_text().splitlines()[0]) == {"schema": SCHEMA}
    with Journal(out, SCHEMA) as again:
        assert [kept.path for kept in again.kept] == ["a.wav", "caf\\udce9.wav"]
        assert [kept.is_whole for kept in again.kept] == [True, False]
        again.note(result=result("b.wav"))
        assert len(read_journal(again.path)) == 3
        again.remove()
    assert list(out.parent.iterdir()) == []


def test_a_torn_line_is_cut_off(out: Path) -> None:
    with Journal(out, SCHEMA) as journal:
        journal.note(result=result("a.wav"))
    with journal_of(out).open("ab") as file:
        file.write(b'{"result": {"rec')
    with Journal(out, SCHEMA) as journal:
        journal.note(result=result("b.wav"))
        assert [kept.path for kept in read_journal(journal.path)] == ["a.wav", "b.wav"]


def test_a_stream_without_an_end_is_put_together(out: Path) -> None:
    with Journal(out, SCHEMA) as journal:
        journal.note(begun=STREAM)
        journal.note(heard_s=3610.0, events=[{"label": "cough", "start_s": 9.0}], hours=[{"start_s": 0.0}],
                     totals={"cough_count": 1})  # fmt: skip
        journal.note(heard_s=3700.0, events=[{"label": "cough", "start_s": 8.0}], hours=[])
    (kept,) = read_journal(journal_of(out))
    stream = kept.to_json()
    assert stream["recording"]["duration_s"] == 3700.0
    assert [event["start_s"] for event in stream["events"]] == [8.0, 9.0]
    assert (stream["hours"], stream["totals"]) == ([{"start_s": 0.0}], {"cough_count": 1})
    assert "after at least 3700 s" in stream["remark"]


def test_another_file_and_another_run_are_left_alone(out: Path) -> None:
    journal_of(out).write_bytes(b"somebody's")
    with pytest.raises(OutputError, match="is not a result of this command"):
        Journal(out, SCHEMA)
    assert journal_of(out).read_bytes() == b"somebody's"
    journal_of(out).write_bytes(b'{"schema": "tussis.monitoring/1"}\n')
    with pytest.raises(OutputError, match=r"holds tussis.monitoring/1, not tussis.screening/1"):
        Journal(out, SCHEMA)
    journal_of(out).unlink()
    with Journal(out, SCHEMA) as first:
        first.note(result=result("a.wav"))
        with pytest.raises(OutputError, match="is being written by another run"):
            Journal(out, SCHEMA)


@pytest.mark.parametrize(
    "lines", [b"[1]\n", b'{"result": 1}\n', b'{"result": {"a": 1}}\nx\n', b'{"begun": {}}\n{"x":1}\n']
)
def test_a_damaged_journal_is_one_sentence(out: Path, lines: bytes) -> None:
    journal_of(out).write_bytes(b'{"schema": "tussis.screening/1"}\n' + lines)
    with pytest.raises(OutputError, match="cannot be read: it is damaged; move it away"):
        Journal(out, SCHEMA)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_takes_no_line_is_a_problem_and_no_end(out: Path) -> None:
    journal_of(out).symlink_to("/dev/full")
    journal = Journal(None, SCHEMA)
    journal.path = journal_of(out)
    journal.note(result=result("a.wav"))
    assert "cannot be written: No space left on device." in journal.problem


@pytest.mark.parametrize("target", ["-", "/dev/null", None])
def test_without_a_file_there_is_no_journal(target: str | None) -> None:
    with Journal(None if target is None else Path(target), SCHEMA) as journal:
        journal.note(result=result("a.wav"))
        journal.remove()


def test_results_of_other_recordings_in_a_journal_are_not_lost(
    tiny_bundle: Path, recording: Path, output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = shutil.copy(recording, tmp_path / "other.wav")
    options = ["--bundle", str(tiny_bundle), "--json", str(output)]
    assert main([str(other), *options]) == 0
    (result,) = json.loads(output.read_text())["recordings"]
    journal = journal_of(output)
    journal.write_text(json.dumps({"schema": SCHEMA}) + "\n" + json.dumps({"result": result}) + "\n")
    with pytest.raises(SystemExit, match="2"):
        main([str(recording), *options])
    assert "out.json.partial holds results of other recordings" in capsys.readouterr().err
    assert main(["--recover", str(output)]) == 0
    assert json.loads(output.read_text())["recordings"] == [result]
    assert list(output.parent.iterdir()) == [output]
