"""Checks that a row opens as the record it was made for, by the phone and by the study, and as no other."""

import json
from dataclasses import replace

import pytest

from app.crypto.sealing import SealError
from app.storage.sealed_rows import PADDED_BYTES, key_for_study, open_row, reseal_row, seal_row
from app.vault import RecordKey
from tests.app.opened_vault import STUDY_PRIVATE, STUDY_PUBLIC, new_vault

CONTENT = {"note": "hostet nätter", "score": 0.25, "answers": {"smokes": None}, "strokes": [[[0.1, 0.2]]]}


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> tuple[RecordKey, RecordKey]:
    vault = new_vault(tmp_path_factory.mktemp("vault"))
    return vault.new_record_key("r1", STUDY_PUBLIC), vault.new_record_key("r2", STUDY_PUBLIC)


def test_a_row_opens_with_its_key_and_holds_nothing_readable(keys):
    row = seal_row(keys[0], "r1", "note", 7, CONTENT)
    assert open_row(row, keys[0].key) == CONTENT
    assert (row.id, row.kind, row.sequence) == ("r1", "note", 7)
    for text in (b"hostet", b"smokes", json.dumps(CONTENT).encode()[:8], keys[0].key):
        assert text not in row.sealed


def test_the_study_opens_a_row_without_the_phone(keys):
    row = seal_row(keys[0], "r1", "note", 7, CONTENT)
    assert open_row(row, key_for_study(row, STUDY_PRIVATE)) == CONTENT
    with pytest.raises(SealError):
        key_for_study(row, bytes(32))


def test_a_row_with_other_content_keeps_its_key(keys):
    row = reseal_row(seal_row(keys[0], "r1", "note", 7, CONTENT), keys[0].key, {"note": "b"})
    assert open_row(row, key_for_study(row, STUDY_PRIVATE)) == {"note": "b"}


def test_lengths_are_told_coarsely(keys):
    lengths = {len(seal_row(keys[0], "r1", "note", 1, {"note": "x" * n}).sealed) for n in range(200)}
    assert len(lengths) == 1
    assert len(seal_row(keys[0], "r1", "note", 1, {"note": "x" * 300}).sealed) == lengths.pop() + PADDED_BYTES


@pytest.mark.parametrize("change", [{"id": "r2"}, {"kind": "consent"}, {"sequence": 8}])
def test_a_row_under_another_id_kind_or_sequence_is_refused(keys, change):
    row = seal_row(keys[0], "r1", "note", 7, CONTENT)
    with pytest.raises(SealError):
        open_row(replace(row, **change), keys[0].key)


def test_each_altered_byte_is_refused(keys):
    row = seal_row(keys[0], "r1", "note", 7, CONTENT)
    for place in range(len(row.sealed)):
        altered = row.sealed[:place] + bytes([row.sealed[place] ^ 1]) + row.sealed[place + 1 :]
        with pytest.raises(SealError):
            open_row(replace(row, sealed=altered), keys[0].key)


def test_keys_of_one_row_do_not_fit_the_content_of_another(keys):
    first, second = (seal_row(key, "r1", "note", 7, CONTENT) for key in keys)
    with pytest.raises(SealError):
        open_row(replace(first, sealed=second.sealed[:149] + first.sealed[149:]), keys[0].key)


@pytest.mark.parametrize(("record_id", "kind"), [("../r1", "note"), ("", "note"), ("r" * 65, "note"), ("r1", "Note 1")])
def test_names_that_could_lead_elsewhere_are_refused(keys, record_id, kind):
    with pytest.raises(ValueError, match="cannot name a record"):
        seal_row(keys[0], record_id, kind, 1, CONTENT)


def test_numbers_that_json_does_not_know_are_refused(keys):
    with pytest.raises(ValueError, match="JSON"):
        seal_row(keys[0], "r1", "note", 1, {"score": float("nan")})
