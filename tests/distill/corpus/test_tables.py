import tracemalloc

import pytest

from core.errors import DataError
from distill.corpus.tables import OtherColumnsError, read_table, table_text

TEXT = 'path,name\na.wav,Zo\u00eb\nb.wav,"x, y"\n'
ROWS = [{"path": "a.wav", "name": "Zo\u00eb"}, {"path": "b.wav", "name": "x, y"}]


def rows_of(path, content, **options):
    path.write_bytes(content)
    return list(read_table(path, ("path", "name"), **options))


@pytest.fixture
def table(tmp_path):
    return tmp_path / "t.csv"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_what_spreadsheets_write_is_read(table, encoding, end, delimiter):
    text = TEXT.replace("path,name", f"path{delimiter}name").replace("wav,", f"wav{delimiter}").replace("\n", end)
    assert rows_of(table, text.encode(encoding)) == ROWS
    assert rows_of(table, f"sep={delimiter}{end}{text}{end * 3}{delimiter}{end}".encode(encoding)) == ROWS


@pytest.mark.parametrize("header", ["Path,NAME", " path , name ", "paths,names"])
def test_a_column_in_other_spelling_is_found_and_that_is_said(table, capsys, header):
    assert rows_of(table, TEXT.replace("path,name", header).encode()) == ROWS
    assert ("is taken as 'name'" in capsys.readouterr().err) == (header.strip() != "path , name")


def test_other_columns_are_left_out_unless_they_are_asked_for(table):
    content = b"path,name,age\na.wav,anna,30\n"
    assert rows_of(table, content) == [{"path": "a.wav", "name": "anna"}]
    assert rows_of(table, content, others=True) == [{"path": "a.wav", "name": "anna", "age": "30"}]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16-le", "utf-16-be", "utf-32"])
def test_another_encoding_is_refused_by_line_and_column(table, encoding):
    place = "line 2, column 9" if encoding in ("latin-1", "cp1252") else "line [12], column"
    with pytest.raises(DataError, match=f"t\\.csv cannot be read as a table: .* in {place}.*; save it as CSV in UTF-8"):
        rows_of(table, TEXT.encode(encoding))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"path,name\na.wav\n", "line 2 does not have as many cells as the header: 1, not 2"),
        (b"path,name\na.wav,x,y\n", "line 2 does not have as many cells as the header: 3, not 2"),
        (b'path,name\na.wav,x\n"b.wav,y\nc.wav,z\n', "in line 3, unexpected end of data"),
        (b"path,name\na.wav," + b"x" * 200_000, "in line 2, field larger than field limit"),
        (b"path,name\na\0.wav,x\n", "holds a zero character in line 2, column 2"),
        (b"path,name,Name\na.wav,x,y\n", "names the column 'name' more than once"),
        (b"\xff\n", "is not UTF-8 in line 1, column 1"),
        (b"", "lacks the column path, name"),
    ],
)
def test_a_damaged_table_is_refused_with_the_place(table, content, sentence):
    with pytest.raises(DataError, match=sentence) as refused:
        rows_of(table, content)
    assert str(refused.value).startswith(str(table)) and "\n" not in str(refused.value)


def test_a_missing_column_is_named_beside_those_that_are_there(table):
    with pytest.raises(OtherColumnsError, match="lacks the column name; expected path, name") as refused:
        rows_of(table, b"path,age\na.wav,3\n")
    assert refused.value.columns == ("path", "age")


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path, tmp_path / "absent.csv"):
        with pytest.raises(DataError, match=f"{path} cannot be read: "):
            list(read_table(path, ("path",)))


def test_a_column_that_differs_by_an_s_from_one_that_is_there_is_another(table):
    assert rows_of(table, b"path,names,name\na.wav,x,y\n") == [{"path": "a.wav", "name": "y"}]


def test_a_path_keeps_its_own_unicode_form_and_text_is_composed(table):
    decomposed = "Zoe\u0308"
    (row,) = rows_of(table, f"path,name\n{decomposed}.wav,{decomposed}\n".encode())
    assert (row.relative_path("path"), row.text("name")) == (f"{decomposed}.wav", "Zo\u00eb")


def test_what_is_written_is_read(table):
    rows = [{"path": 'a,"b".wav', "name": "Zo\u00eb; x"}]
    assert rows_of(table, table_text(("path", "name"), rows).encode()) == rows


@pytest.mark.long
def test_a_large_table_is_read_in_little_memory_row_by_row(tmp_path):
    table, n_rows = tmp_path / "large.csv", 60_000
    with table.open("w", encoding="utf-8") as file:
        file.write("path,subject_id,label\n")
        file.writelines(f"sounds/recording{i:07d}.wav,person{i:07d},{i % 2}\n" for i in range(n_rows))
    tracemalloc.start()
    assert sum(1 for _ in read_table(table, ("path", "subject_id", "label"))) == n_rows
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 2e6 < table.stat().st_size


def test_a_line_without_an_end_is_refused(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"path,name\n" + b'a.wav,"' + b"x\t" * 2**20)
    with pytest.raises(DataError, match=r"line 2 has 1048576 characters or more; that is no table"):
        list(read_table(tmp_path / "t.csv", ("path", "name")))


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_character_that_cannot_be_read_is_found_far_into_a_table(tmp_path, line_end, encoding):
    text = line_end.join(["path,name", *(f"{i}.wav,é{i}" for i in range(20_000)), "a,b"])
    bad = b"\x00\xd8x\x00" if encoding == "utf-16" else b"\xff"
    (tmp_path / "t.csv").write_bytes(text.encode(encoding) + bad)
    with pytest.raises(DataError, match=r"in line 20002, column 4; save it as CSV in UTF-8"):
        list(read_table(tmp_path / "t.csv", ("path", "name")))
