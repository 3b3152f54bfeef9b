"""Tests that altered and missing records are named."""

import contextlib
import sqlite3

from app.cases.damage import damage_of
from app.records import FILE_NAME, Records
from tests.app.opened_vault import STUDY_PUBLIC, new_vault


def test_altered_rows_and_numbers_without_a_row_are_told_and_the_rest_is_read(tmp_path):
    vault = new_vault(tmp_path)
    records = Records(tmp_path, vault, STUDY_PUBLIC)
    made = [records.add("attempt", {"number": number}) for number in range(7)]
    assert damage_of(records).altered == () and damage_of(records).missing == ()
    records.erase(made[0].id, made[3].id, made[4].id)
    records.close()
    with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as connection:
        (sealed,) = connection.execute("SELECT sealed FROM records WHERE id = ?", (made[2].id,)).fetchone()
        altered = sealed[:-1] + bytes([sealed[-1] ^ 1])
        connection.execute("UPDATE records SET sealed = ? WHERE id = ?", (altered, made[2].id))
    again = Records(tmp_path, vault, STUDY_PUBLIC)
    damage = damage_of(again)
    assert [(row.id, row.sequence) for row in damage.altered] == [(made[2].id, 3)]
    assert damage.missing == ((1, 1), (4, 5))
    assert [row.record for row in damage.rows] == [made[1], None, made[5], made[6]]
    again.close()


def test_records_of_an_earlier_passcode_are_rows_that_cannot_be_read_and_were_not_altered(tmp_path):
    vault = new_vault(tmp_path)
    records = Records(tmp_path, vault, STUDY_PUBLIC)
    records.add("attempt", {"number": 1})
    vault.start_anew("another 1")
    (row,) = damage_of(records).rows
    assert row.record is None and not row.is_altered
    records.close()
