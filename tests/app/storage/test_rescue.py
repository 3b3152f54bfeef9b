"""Checks that a damaged file of records gives up every row that reads, and is kept beside the new one."""

import os
import sqlite3

import pytest

from app.records import FILE_NAME, Records
from app.storage import rescue
from app.storage.database import Database, RecordsError
from app.vault import Vault
from tests.app.opened_vault import STUDY_PUBLIC, new_vault

PAGE_BYTES = 4096


@pytest.fixture(scope="module")
def vault(tmp_path_factory) -> Vault:
    return new_vault(tmp_path_factory.mktemp("vault"))


@pytest.fixture
def made(tmp_path, vault):
    """The records of a closed file of many pages."""
    records = Records(tmp_path, vault, STUDY_PUBLIC)
    made = [records.add("note", {"number": number, "text": "x" * 500}) for number in range(60)]
    records.close()
    return made


def opened(folder, vault) -> Records:
    return Records(folder, vault, STUDY_PUBLIC)


def asides(folder) -> list[bytes]:
    return [path.read_bytes() for path in folder.glob("damaged-records-*")]


def test_a_whole_file_is_not_touched(tmp_path, vault, made):
    records = opened(tmp_path, vault)
    assert records.n_rescued is None and records.all() == made and asides(tmp_path) == []
    records.close()


def test_a_damaged_page_costs_its_own_rows_alone(tmp_path, vault, made):
    path = tmp_path / FILE_NAME
    content = path.read_bytes()
    n_pages = len(content) // PAGE_BYTES
    n_lost = set()
    for page in range(3, n_pages):
        damaged = content[: page * PAGE_BYTES] + os.urandom(PAGE_BYTES) + content[(page + 1) * PAGE_BYTES :]
        path.write_bytes(damaged)
        records = opened(tmp_path, vault)
        found = records.all()
        if records.n_rescued is not None:
            assert damaged in asides(tmp_path)
        assert [record for record in made if record in found] == found
        n_lost.add(len(made) - len(found))
        records.close()
        again = opened(tmp_path, vault)
        assert again.all() == found and again.n_rescued is None
        again.close()
        rescue.forget_damaged(tmp_path)
    assert max(n_lost) < 15 and 0 in n_lost


def test_a_file_that_is_no_database_is_put_aside_and_work_goes_on(tmp_path, vault, made):
    (tmp_path / FILE_NAME).write_bytes(b"no database " * 1000)
    records = opened(tmp_path, vault)
    assert records.n_rescued == 0 and asides(tmp_path) == [b"no database " * 1000]
    later = records.add("note", {})
    assert records.all() == [later]
    records.close()


@pytest.mark.parametrize(
    "script", ["CREATE TABLE more (id)", "DROP TABLE erasing", "CREATE INDEX more ON records (kind)"]
)
def test_a_file_with_other_tables_keeps_all_rows(tmp_path, vault, made, script):
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute(script)
    connection.close()
    records = opened(tmp_path, vault)
    assert records.all() == made and records.n_rescued == 60
    assert records.add("note", {}).sequence == 61
    records.close()


def test_a_file_of_a_later_version_is_not_rescued(tmp_path, vault, made):
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(RecordsError, match="version 9"):
        opened(tmp_path, vault)
    assert asides(tmp_path) == []


@pytest.mark.parametrize("step", ["_write_new", "finish", "sync_folder", "write_atomically"])
def test_a_rescue_that_is_cut_short_is_done_at_the_next_start(tmp_path, vault, made, monkeypatch, step):
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute("CREATE TABLE more (id)")
    connection.close()

    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(rescue, step, killed)
    with pytest.raises(KeyboardInterrupt):
        rescue.rescue(tmp_path / FILE_NAME)
    monkeypatch.undo()
    records = opened(tmp_path, vault)
    assert records.all() == made and len(asides(tmp_path)) == 1
    records.close()


def test_a_disk_that_is_full_leaves_the_damaged_file(tmp_path, vault, made, monkeypatch):
    path = tmp_path / FILE_NAME
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE more (id)")
    connection.close()
    before = path.read_bytes()

    def full(*_):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(rescue, "_write_new", full)
    with pytest.raises(RecordsError, match="full"):
        opened(tmp_path, vault)
    assert path.read_bytes() == before
    monkeypatch.undo()
    Database(tmp_path / "other.sqlite").close()
    records = opened(tmp_path, vault)
    assert records.all() == made
    records.close()


def test_an_erasing_removes_the_damaged_file_with_its_keys(tmp_path, vault, made):
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute("CREATE TABLE more (id)")
    connection.close()
    records = opened(tmp_path, vault)
    wrapped = next(row.wrapped_for_study for row in records.sealed_rows() if row.id == made[0].id)
    records.erase(made[0].id)
    assert asides(tmp_path) == []
    assert wrapped not in b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    records.close()
