"""Walking folders: each recording once, with its subject, whatever the links, names and manifests."""

import csv
import os

import pytest

from core.errors import DataError
from distill.mining.recordings import find_recordings


def put(path, content=b"sound"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def found(tmp_path, *folders):
    return find_recordings(folders, tmp_path / "pack", "mined", "CC0")


def source_ids(tmp_path, *folders):
    return [source.source_id for source in found(tmp_path, *folders).sources]


def test_recordings_are_found_by_their_endings_in_the_order_of_their_names(tmp_path):
    for name in ("b.wav", "a.FLAC", "c/z.ogg", "c/a.m4a", "notes.txt", "c/picture.png", "nothing.csv"):
        put(tmp_path / "in" / name)
    assert source_ids(tmp_path, tmp_path / "in") == ["in/a.FLAC", "in/b.wav", "in/c/a.m4a", "in/c/z.ogg"]


def test_the_first_folder_is_one_subject_and_a_recording_outside_one_another(tmp_path):
    for name in ("anna/monday/1.wav", "anna/tuesday/2.wav", "ben.wav", "carl.wav"):
        put(tmp_path / "in" / name)
    subjects = {source.source_id: source.subject_id for source in found(tmp_path, tmp_path / "in").sources}
    assert subjects == {
        "in/anna/monday/1.wav": "in/anna",
        "in/anna/tuesday/2.wav": "in/anna",
        "in/ben.wav": "in/ben.wav",
        "in/carl.wav": "in/carl.wav",
    }


def test_links_end_and_no_recording_is_found_twice(tmp_path):
    put(tmp_path / "in" / "a" / "1.wav")
    put(tmp_path / "elsewhere" / "2.wav")
    (tmp_path / "in" / "a" / "loop").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "again.wav").symlink_to(tmp_path / "in" / "a" / "1.wav")
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "self.wav").symlink_to("self.wav")
    folders = (tmp_path / "in", tmp_path / "in" / "a", tmp_path / "elsewhere")
    assert source_ids(tmp_path, *folders) == ["in/again.wav", "in/self.wav", "in/linked/2.wav"]


def test_the_pack_to_write_is_passed_over_inside_an_input_folder_and_under_a_link(tmp_path):
    put(tmp_path / "pack" / "audio" / "old.flac")
    put(tmp_path / "new.wav")
    (tmp_path / "link").symlink_to(tmp_path / "pack")
    assert [source.path.name for source in found(tmp_path, tmp_path).sources] == ["new.wav"]
    with pytest.raises(DataError, match="no recordings"):
        found(tmp_path, tmp_path / "pack" / "audio")


def write_listing(pack, **record):
    with (pack / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["path", "dataset", "source_id", "subject_id", "licence", "group_fold"])
        writer.writeheader()
        writer.writerow(record)


def test_a_recording_that_a_pack_lists_keeps_its_subject_source_and_licence(tmp_path):
    pack = put(tmp_path / "in" / "coughs" / "audio" / "1.wav").parents[1]
    put(pack / "audio" / "2.wav")
    write_listing(
        pack, path="audio/1.wav", dataset="coughs", source_id="s1", subject_id="anna", licence="CC BY", group_fold="5"
    )
    (tmp_path / "links").mkdir()
    for name in ("1.wav", "2.wav"):
        (tmp_path / "links" / name).symlink_to(pack / "audio" / name)
    for folder in (tmp_path / "in", pack, pack / "audio", tmp_path / "links"):
        listed, other = found(tmp_path, folder).sources
        of_listed = (listed.dataset, listed.source_id, listed.subject_id, listed.licence)
        assert of_listed == ("coughs", "s1", "anna", "CC BY")
        assert (other.dataset, other.licence) == ("mined", "CC0") and other.source_id.endswith("/2.wav")


def test_a_manifest_of_another_kind_is_none_of_ours_and_a_damaged_one_is_refused(tmp_path):
    put(tmp_path / "in" / "1.wav")
    put(tmp_path / "in" / "manifest.csv", b"file,size\n1.wav,3\n")
    assert source_ids(tmp_path, tmp_path / "in") == ["in/1.wav"]
    put(tmp_path / "in" / "manifest.csv", b"path,dataset,source_id,subject_id,licence\n\xff\xfe,,,,\n")
    with pytest.raises(DataError, match=r"manifest\.csv cannot be read"):
        found(tmp_path, tmp_path / "in")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_listing_of_a_spreadsheet_says_whose_recordings_these_are(tmp_path, encoding):
    put(tmp_path / "in" / "1.wav")
    put(tmp_path / "in" / "2.wav")
    text = "path;dataset;source_id;subject_id;licence\n1.wav;coughs;s1;Zo\u00eb;CC0\n2.wav;coughs;s2;nan;CC0\n"
    put(tmp_path / "in" / "manifest.csv", text.encode(encoding))
    sources = found(tmp_path, tmp_path / "in").sources
    assert [(source.source_id, source.subject_id) for source in sources] == [("s1", "Zo\u00eb"), ("s2", "")]


@pytest.mark.parametrize("path", ["1\0.wav", "../1.wav", "/1.wav"])
def test_a_listing_that_leads_out_of_its_pack_is_refused(tmp_path, path):
    put(tmp_path / "in" / "1.wav")
    header = "path,dataset,source_id,subject_id,licence\n"
    put(tmp_path / "in" / "manifest.csv", f"{header}{path},coughs,s1,anna,CC0\n".encode())
    with pytest.raises(DataError, match=r"manifest\.csv.* line 2, column"):
        found(tmp_path, tmp_path / "in")
    put(tmp_path / "in" / "manifest.csv", f"{header.replace(',licence', ',rights')}1.wav,coughs,s1,anna,CC0\n".encode())
    with pytest.raises(DataError, match=r"manifest\.csv lacks the column licence"):
        found(tmp_path, tmp_path / "in")


def test_recordings_of_a_test_pack_are_skipped_with_the_reason(tmp_path):
    put(tmp_path / "in" / "esc50_part" / "audio" / "1.flac")
    with pytest.raises(DataError, match="nothing may be trained"):
        found(tmp_path, tmp_path / "in")
    put(tmp_path / "in" / "other.wav")
    result = found(tmp_path, tmp_path / "in")
    assert [source.source_id for source in result.sources] == ["in/other.wav"]
    assert [skipped.source_id for skipped in result.skipped] == ["in/esc50_part/audio/1.flac"]


def test_a_name_that_is_not_unicode_can_be_written_as_utf8(tmp_path):
    put(tmp_path / "in" / os.fsdecode(b"\xff.wav"))
    (source,) = found(tmp_path, tmp_path / "in").sources
    assert source.source_id == "in/\\udcff.wav" and source.path.read_bytes() == b"sound"


def test_a_changed_recording_has_another_key_and_the_same_path_key(tmp_path):
    path = put(tmp_path / "in" / "1.wav")
    (before,) = found(tmp_path, tmp_path / "in").sources
    path.write_bytes(b"more sound")
    (after,) = found(tmp_path, tmp_path / "in").sources
    assert before.path_key == after.path_key and before.key != after.key


@pytest.mark.parametrize(
    ("folder", "sentence"),
    [("absent", "there is no such folder"), ("in/1.txt", "is not a folder"), ("in", r"no recordings .*\.wav")],
)
def test_what_is_no_folder_with_recordings_is_refused_by_name(tmp_path, folder, sentence):
    put(tmp_path / "in" / "1.txt")
    with pytest.raises(DataError, match=sentence) as refused:
        found(tmp_path, tmp_path / folder)
    assert folder in str(refused.value)
