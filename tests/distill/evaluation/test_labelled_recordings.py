"""Label tracks of people: Audacity, TextGrid and tables, and a sentence for each that cannot be meant."""

import numpy as np
import pytest

from core.audio import write_wav
from core.errors import DataError
from distill.evaluation.labelled_recordings import find_labelled

GRID = 'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = 9\n'
GRID += 'intervals [1]:\n xmin = 1.5\n xmax = 1.9\n text = "Cough"\n'


@pytest.fixture
def folder(tmp_path):
    """Writes label tracks, and 9 s of noise beside each, unless it is told not to."""

    def write(tracks, sounds=None):
        for name in sounds if sounds is not None else {name.rpartition(".")[0] for name in tracks}:
            path = tmp_path / f"{name}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_wav(path, 0.01 * np.random.default_rng(0).standard_normal(144_000).astype(np.float32))
        for name, content in tracks.items():
            (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path

    return write


def test_three_kinds_of_tracks_give_the_same_coughs(folder):
    tracks = {
        "a.txt": "1.500000\t1.900000\tcough\n\\\t100.0\t4000.0\n3.0\t3.0\tspeech\n",
        "deep/b.TextGrid": GRID,
        "c.csv": "\ufeffStart;End;Label\r\n1.5;1.9;Coughing, talking\r\n",
        "d.txt": "",
        "e.txt": "1,500000\t1,900000\tCOUGH\n",
        "f.csv": "start,end,label\n",
    }
    found, problems = find_labelled(folder(tracks))
    assert problems == []
    assert {recording.name: recording.coughs for recording in found} == {
        "a.wav": ((1.5, 1.9),),
        "c.wav": ((1.5, 1.9),),
        "d.wav": (),
        "deep/b.wav": ((1.5, 1.9),),
        "e.wav": ((1.5, 1.9),),
        "f.wav": (),
    }


def test_labels_are_put_in_order_and_another_word_may_be_asked_for(folder):
    tracks = {"a.txt": "5.0\t5.4\thoest\n1.0\t1.3\thoest\n2.0\t2.2\tcough\n"}
    assert find_labelled(folder(tracks), "hoest")[0][0].coughs == ((1.0, 1.3), (5.0, 5.4))


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.txt", "1.0\t1.4\tcough\nsoon\t2.0\tcough\n", "a.txt, line 2 does not begin with two times in seconds"),
        ("a.txt", "1.0 1.4 cough\n", "a.txt, line 1 does not begin with two times in seconds"),
        ("a.txt", "2.0\t1.4\tcough\n", "a.txt, line 1 has a label from 2 to 1.4 s, which is no stretch"),
        ("a.txt", "-1.0\t1.4\tcough\n", "a.txt, line 1 has a label from -1 to 1.4 s"),
        ("a.txt", "nan\tinf\tcough\n", "a.txt, line 1 does not begin with two times"),
        ("a.txt", b"\xff\xfe\x00\xd8", "a.txt cannot be read as a label track"),
        ("a.txt", "9.0\t11.0\tcough\n", "a.txt has a label that ends at 11 s; a.wav ends at 9.00 s"),
        ("a.csv", "from,to,label\n1,2,cough\n", "a.csv lacks the column start, end"),
        ("a.csv", "start,end,label\n1,later,cough\n", "a.csv, line 2, column end holds 'later'"),
        ("a.csv", "start,end,label\n3,2,cough\n", "a.csv, line 2 has a label from 3 to 2 s"),
        ("a.TextGrid", "start,end\n", "a.TextGrid is no TextGrid of Praat"),
    ],
)
def test_a_bad_track_is_one_sentence_and_the_others_are_read(folder, name, content, sentence):
    found, problems = find_labelled(folder({name: content, "good.txt": "1.0\t1.4\tcough\n"}))
    assert [recording.name for recording in found] == ["good.wav"]
    assert len(problems) == 1 and sentence in problems[0] and "\n" not in problems[0]


def test_a_recording_needs_one_track_and_a_track_one_recording(folder):
    written = folder(
        {"a.txt": "1.0\t1.4\tcough\n", "b.txt": "", "b.csv": "start,end,label\n", "lost.txt": ""}, ["a", "b", "bare"]
    )
    (written / "broken.wav").write_bytes(b"RIFF\0\0")
    (written / "broken.txt").write_text("1\t2\tcough\n")
    found, problems = find_labelled(written)
    assert [recording.name for recording in found] == ["a.wav"] and len(problems) == 4
    assert "lost.txt has no recording of its name beside it" in problems[0]
    assert "b.wav has several label tracks beside it" in problems[1] and "bare.wav has no label track" in problems[2]
    assert "broken.wav" in problems[3]


def test_two_recordings_of_one_name_cannot_be_told_apart(folder):
    written = folder({"a.txt": "1.0\t1.4\tcough\n"})
    (written / "a.mp3").write_bytes(b"ID3")
    assert find_labelled(written)[0] == [] and "cannot be told apart" in find_labelled(written)[1][0]


@pytest.mark.parametrize(
    ("tracks", "sentence"),
    [
        ({"a.txt": "1.0\t1.4\ttos\n"}, "has the label 'cough'; the labels are 'tos'"),
        ({}, "has no recording: WAV, FLAC"),
    ],
)
def test_a_folder_without_a_cough_label_or_a_recording_is_refused(folder, tmp_path, tracks, sentence):
    with pytest.raises(DataError, match=sentence):
        find_labelled(folder(tracks))
    with pytest.raises(DataError, match="there is no folder"):
        find_labelled(tmp_path / "absent")
