"""Writes a corpus as WebDataset tar shards."""

import hashlib
import json
import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from tarfile import BLOCKSIZE, RECORDSIZE
from typing import BinaryIO, TextIO

import numpy as np
from webdataset.writer import TarWriter

from core.audio import SAMPLE_RATE_HZ
from core.errors import DataError, OutputError, SettingsError
from core.files import sha256_of_file, write_atomically
from distill.corpus.manifests import ROLES, ManifestRow
from distill.corpus.shards import (
    CODECS,
    INDEX_FILE,
    ROOM_KBIT_S,
    SHARD_PATTERN,
    ClipRecord,
    Codec,
    ShardEntry,
    ShardIndex,
    clip_key,
    encode_clip,
    read_index,
    read_samples,
    record_json,
    tally,
)
from distill.folders import locked
from distill.prefetch import prefetch
from distill.settings import first_difference

MAX_SHARD_MIB = 4096  # a shard is held in memory before it is written
JOURNAL_FILE = "index.part.jsonl"
UNFINISHED_SHARD_FILE = ".shard.part"
_SHARD_FIELDS = frozenset({"shards", "bytes", "clips", "seconds", "licences"})

Sample = tuple[ClipRecord, dict[str, str | bytes]]  # the second in webdataset's form: __key__, json, flac or opus


def write_shards(
    manifest: Sequence[ManifestRow],
    data_root: Path,
    folder: Path,
    *,
    roles: Sequence[str] = ("train",),
    shard_mib: float = 64.0,
    codec: Codec = "flac",
    opus_kbit_s: float | None = None,
    seed: int = 0,
    threads: int = 2,
) -> ShardIndex:
    """Write the manifest's recordings with one of `roles` as shards; a write that was stopped goes on where it was.

    The recordings are written in an order shuffled by `seed`, so that neighbours in a shard are of different packs. A
    key is the recording's position in the manifest. A shard ends before it would pass `shard_mib`. `opus_kbit_s` is
    Opus' rate for all but rooms, which have a better one; None is its own choice. The same recordings, settings and
    versions of the codecs give the same bytes, stopped or not.

    Raises
    ------
    DataError
        If no recording has one of the roles, or the folder was begun with other settings.
    """
    rows = [row for row in manifest if row.role in roles]
    if not rows:
        raise DataError(f"the manifest holds no recording with the role {' or '.join(map(repr, roles))}")
    digest = hashlib.sha256(json.dumps([asdict(row) for row in rows]).encode()).hexdigest()
    made_from = {"roles": tuple(roles), "shard_mib": shard_mib, "seed": seed, "manifest_sha256": digest}
    asked = ShardIndex(codec=codec, opus_kbit_s=opus_kbit_s, **made_from)
    with locked(folder):
        if (folder / INDEX_FILE).exists():
            return _finished(folder, asked)
        shards = _resumed(folder, asked)
        n_written = sum(shard.clips for shard in shards)
        order = np.random.default_rng(seed).permutation(len(rows))[n_written:].tolist()
        with (
            (folder / JOURNAL_FILE).open("a", encoding="utf-8") as journal,
            closing(_samples(rows, order, data_root, asked, threads)) as samples,
        ):
            for group in _by_size(samples, shard_mib * 2**20):
                shards.append(_write_shard(folder, len(shards), group))
                _append(journal, shards[-1])
        write_atomically(folder / INDEX_FILE, asked.with_shards(tuple(shards)).model_dump_json(indent=1) + "\n")
    return _finished(folder, asked)


def _finished(folder: Path, asked: ShardIndex) -> ShardIndex:
    """The index of a whole corpus, which needs its journal no more."""
    index = read_index(folder)
    _check_begun(folder / INDEX_FILE, asked, index, index.shards)
    (folder / JOURNAL_FILE).unlink(missing_ok=True)
    return index


def _resumed(folder: Path, asked: ShardIndex) -> list[ShardEntry]:
    """The shards that the journal names; begins a journal where there is none.

    A shard that a kill kept out of the journal is written again, with the same bytes.
    """
    journal = folder / JOURNAL_FILE
    if not journal.exists():
        if stray := sorted(folder.glob(SHARD_PATTERN)):
            raise OutputError(f"{stray[0]} belongs to no index; choose another folder to write to.")
        write_atomically(journal, asked.model_dump_json() + "\n")
    begun, shards = _read_journal(journal)
    _check_begun(journal, asked, begun, shards)
    return shards


def _check_begun(path: Path, asked: ShardIndex, begun: ShardIndex, shards: Iterable[ShardEntry]) -> None:
    """DataError where a corpus was begun with other settings, or a shard is gone."""
    if difference := first_difference(asked.model_dump(), begun.model_dump(), _SHARD_FIELDS):
        name, ours, theirs = difference
        raise DataError(f"{path} was begun with {name} {theirs!r}, not {ours!r}; choose another folder to write to.")
    for shard in shards:
        file = path.parent / shard.file
        if not file.is_file() or file.stat().st_size != shard.bytes:
            raise DataError(f"{file} is not as it was written; remove {path.parent} and write it again.")


def _read_journal(path: Path) -> tuple[ShardIndex, list[ShardEntry]]:
    """The header and the shards of a write that was stopped; a last line cut short by a kill is taken off the file."""
    try:
        whole = path.read_bytes().rpartition(b"\n")[0]
        header, *lines = whole.split(b"\n")
        begun, shards = ShardIndex.model_validate_json(header), [*map(ShardEntry.model_validate_json, lines)]
        os.truncate(path, len(whole) + 1)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is damaged; remove {path.parent} and write the corpus again.") from error
    return begun, shards


def _append(journal: TextIO, shard: ShardEntry) -> None:
    journal.write(shard.model_dump_json() + "\n")
    journal.flush()
    os.fsync(journal.fileno())


def _samples(
    rows: Sequence[ManifestRow], order: Sequence[int], data_root: Path, asked: ShardIndex, threads: int
) -> Generator[Sample]:
    """Decode and encode the recordings, in order, a few ahead of the writing."""

    def sample_at(step: int) -> Sample:
        row = rows[order[step]]
        samples = read_samples(data_root / row.path)
        source_sha256 = sha256_of_file(data_root / row.path)
        duration_s = len(samples) / SAMPLE_RATE_HZ
        record = ClipRecord(row=row, samples=len(samples), duration_s=duration_s, source_sha256=source_sha256)
        rate = ROOM_KBIT_S if row.role == "augment" and asked.opus_kbit_s else asked.opus_kbit_s
        fields = {"json": record_json(record), asked.codec: encode_clip(samples, asked.codec, rate)}
        return record, {"__key__": clip_key(order[step]), **fields}

    return prefetch(sample_at, 0, len(order), depth=4 * threads, threads=threads)


def _by_size(samples: Iterable[Sample], max_bytes: float) -> Iterator[list[Sample]]:
    """Group consecutive samples so that each group's tar file stays below `max_bytes`, or holds one sample."""
    group, size = [], RECORDSIZE
    for sample in samples:
        sample_size = sum(_tar_bytes(content) for name, content in sample[1].items() if name != "__key__")
        if group and size + sample_size > max_bytes:
            yield group
            group, size = [], RECORDSIZE
        group.append(sample)
        size += sample_size
    if group:
        yield group


def _tar_bytes(content: bytes) -> int:
    return BLOCKSIZE * (1 + -(-len(content) // BLOCKSIZE))


def _write_shard(folder: Path, number: int, group: Sequence[Sample]) -> ShardEntry:
    """Write a tar file beside its place, sync it, and rename it; times and owners are zero."""
    unfinished, path = folder / UNFINISHED_SHARD_FILE, folder / f"corpus-{number:06d}.tar"
    try:
        with unfinished.open("wb") as file:
            _write_tar(file, [sample for _, sample in group])
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error
    records = [record for record, _ in group]
    return ShardEntry(
        file=path.name,
        bytes=path.stat().st_size,
        sha256=sha256_of_file(path),
        **tally(records),
    )


def _write_tar(file: BinaryIO, samples: Iterable[dict[str, str | bytes]]) -> None:
    with TarWriter(file, user="", group="", mtime=0, encoder=False) as tar:
        for sample in samples:
            tar.write(sample)


def summarize(index: ShardIndex) -> str:
    """One line: shards, size, clips, hours, licences."""
    size = f"{len(index.shards)} shards, {index.bytes / 1e6:.1f} MB ({index.codec})"
    return f"{size}, {index.clips} clips, {index.seconds / 3600:.2f} h, {len(index.licences)} licences"


def checked_roles(roles: Sequence[str], codec: str, shard_mib: float) -> list[str]:
    """The roles in the order of ROLES; SettingsError for what is unknown or out of range."""
    if unknown := sorted(set(roles) - set(ROLES)):
        raise SettingsError(f"--role is {unknown[0]!r}; expected one of {', '.join(ROLES)}.")
    if codec not in CODECS:
        raise SettingsError(f"--codec is {codec!r}; expected one of {', '.join(CODECS)}.")
    if not 0 < shard_mib <= MAX_SHARD_MIB:
        raise SettingsError(f"--shard-mib is {shard_mib:g}; expected a number above 0 and at most {MAX_SHARD_MIB} MiB.")
    return [role for role in ROLES if role in roles]
