"""Checks that the file of the records comes from any version to the last, keeps what it is given, or says why not."""

import sqlite3

import pytest

from app.data_folder import FolderInUseError
from app.storage.database import MIGRATIONS, VERSION, Database, RecordsError

# The file of version 1, as text: what an early app left behind.
VERSION_1 = """
CREATE TABLE records (sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, \
kind TEXT NOT NULL, sealed BLOB NOT NULL);
INSERT INTO records VALUES (3, 'r1', 'participant', x'0102');
INSERT INTO records VALUES (8, 'r2', 'attempt', x'0304ff');
PRAGMA user_version = 1;
"""
ROWS = [(3, "r1", "participant", b"\1\2"), (8, "r2", "attempt", b"\3\4\xff")]
SELECT = "SELECT sequence, id, kind, sealed FROM records ORDER BY sequence"


def executed(path, script):
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.commit()
    connection.close()
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "records.sqlite"


def test_a_new_file_has_the_last_version(path):
    database = Database(path)
    assert database.rows("PRAGMA user_version") == [(VERSION,)]
    assert database.rows("PRAGMA journal_mode") == [("wal",)]
    assert database.rows("PRAGMA secure_delete") == [(1,)]
    database.close()


def test_a_file_of_version_1_is_brought_up_to_date_row_by_row(path):
    database = Database(executed(path, VERSION_1))
    assert database.rows("PRAGMA user_version") == [(VERSION,)] and VERSION == 2
    assert database.rows(SELECT) == ROWS
    assert database.rows("SELECT * FROM erasing") == []
    database.close()
    again = Database(path)
    assert again.rows(SELECT) == ROWS
    again.close()


def test_sequences_of_a_file_of_version_1_go_on_and_are_never_given_twice(path):
    database = Database(executed(path, VERSION_1))
    assert database.rows("SELECT seq FROM sqlite_sequence") == [(8,)]
    with database.transaction() as connection:
        connection.execute("DELETE FROM records")
    assert database.rows("SELECT seq FROM sqlite_sequence") == [(8,)]
    database.close()


def test_a_migration_that_fails_leaves_the_earlier_version(path, monkeypatch):
    executed(path, VERSION_1)
    monkeypatch.setattr("app.storage.database.MIGRATIONS", (*MIGRATIONS, ("CREATE TABLE later (id)", "NONSENSE")))
    monkeypatch.setattr("app.storage.database.VERSION", VERSION + 1)
    with pytest.raises(RecordsError, match="NONSENSE"):
        Database(path)
    monkeypatch.undo()
    database = Database(path)
    assert database.rows(SELECT) == ROWS
    database.close()


def test_a_file_of_a_later_version_is_left_as_it_is(path):
    executed(path, VERSION_1 + f"PRAGMA user_version = {VERSION + 1};")
    before = path.read_bytes()
    with pytest.raises(RecordsError, match=f"version {VERSION + 1}"):
        Database(path)
    assert path.read_bytes()[100:] == before[100:]


@pytest.mark.parametrize(
    "script", ["CREATE TABLE more (id)", "CREATE TRIGGER t AFTER DELETE ON records BEGIN SELECT 1; END"]
)
def test_a_file_with_other_tables_or_triggers_is_refused(path, script):
    Database(path).close()
    executed(path, script)
    with pytest.raises(RecordsError, match="altered"):
        Database(path)


def test_what_is_no_database_is_one_sentence_and_left_as_it_is(path):
    content = b"no database " * 1000
    path.write_bytes(content)
    with pytest.raises(RecordsError, match="not a database"):
        Database(path)
    assert path.read_bytes() == content


def test_a_transaction_happens_whole_or_not_at_all(path):
    database = Database(path)
    with pytest.raises(ZeroDivisionError), database.transaction() as connection:
        connection.execute("INSERT INTO erasing VALUES ('a')")
        raise ZeroDivisionError
    with pytest.raises(RecordsError, match="UNIQUE"), database.transaction() as connection:
        connection.executemany("INSERT INTO erasing VALUES (?)", [("a",), ("a",)])
    assert database.rows("SELECT * FROM erasing") == []
    with database.transaction() as connection:
        connection.execute("INSERT INTO erasing VALUES ('a')")
    assert database.rows("SELECT * FROM erasing") == [("a",)]
    database.close()


def test_a_second_window_is_one_sentence(path):
    database = Database(path)
    with database.transaction() as connection:
        connection.execute("INSERT INTO erasing VALUES ('a')")
    with pytest.raises(FolderInUseError):
        Database(path)
    database.close()
    Database(path).close()


def test_a_closed_file_is_one_sentence(path):
    database = Database(path)
    database.close()
    database.close()
    with pytest.raises(RecordsError, match="closed"):
        database.rows("SELECT 1")


def test_a_full_disk_is_one_sentence_and_what_was_there_stays(path):
    database = Database(executed(path, VERSION_1))
    database.rows("PRAGMA max_page_count = 5")
    with pytest.raises(RecordsError, match="full"), database.transaction() as connection:
        connection.execute("INSERT INTO records VALUES (9, 'r9', 'note', zeroblob(100000))")
    assert database.rows(SELECT) == ROWS
    database.close()


def test_nothing_of_what_was_deleted_stays_in_any_file(path):
    database = Database(path)
    secrets = [f"secret{number:05d}".encode() * 40 for number in range(500)]
    for number, secret in enumerate(secrets):
        with database.transaction() as connection:
            values = (f"r{number * 7919 % 500}", secret + bytes(number % 700))
            connection.execute("INSERT INTO records (id, kind, sealed) VALUES (?, 'note', ?)", values)
    with database.transaction() as connection:
        connection.execute("DELETE FROM records WHERE sequence % 3 = 0")
    database.rewrite()
    files = b"".join(file.read_bytes() for file in path.parent.iterdir())
    found = {number for number, secret in enumerate(secrets) if secret[:11] in files}
    assert found == {number for number in range(500) if (number + 1) % 3}
    database.close()
