"""Praat's TextGrid files: long and short, intervals and points, in UTF-8 and UTF-16."""

import pytest

from core.errors import DataError
from distill.corpus.cohorts.text_grid import LabelledInterval, read_text_grid

LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 10
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "events"
        xmin = 0
        xmax = 10
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 1.25
            text = ""
        intervals [2]:
            xmin = 1.25
            xmax = 1.75
            text = "cough"
        intervals [3]:
            xmin = 1.75
            xmax = 10
            text = "a ""loud"" sneeze"
    item [2]:
        class = "TextTier"
        name = "points"
        points: size = 1
        points [1]:
            number = 0.5
            mark = "gasp"
"""
SHORT = 'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n3\n<exists>\n1\n"IntervalTier"\n"events"\n0\n3\n2\n'
SHORT += '0\n1.5\n""\n1.5\n3\n"cough"\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_labels_are_read_with_their_times(tmp_path, encoding, line_end):
    (tmp_path / "a.TextGrid").write_bytes(LONG.replace("\n", line_end).encode(encoding))
    assert read_text_grid(tmp_path / "a.TextGrid") == [
        LabelledInterval(0.5, 0.5, "gasp"),
        LabelledInterval(1.25, 1.75, "cough"),
        LabelledInterval(1.75, 10.0, 'a "loud" sneeze'),
    ]


def test_the_short_form_is_read(tmp_path):
    (tmp_path / "a.TextGrid").write_text(SHORT)
    assert read_text_grid(tmp_path / "a.TextGrid") == [LabelledInterval(1.5, 3.0, "cough")]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"start,end\n1,2\n", "is no TextGrid of Praat"),
        (LONG.replace("xmax = 1.75", "xmax = 1.0").encode(), "from 1.25 to 1 s, which ends too early"),
        (b"\xff\x00\xfe", "cannot be read as a TextGrid"),
    ],
)
def test_another_file_is_refused(tmp_path, content, sentence):
    (tmp_path / "a.TextGrid").write_bytes(content)
    with pytest.raises(DataError, match=sentence):
        read_text_grid(tmp_path / "a.TextGrid")


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        read_text_grid(tmp_path / "a.TextGrid")
