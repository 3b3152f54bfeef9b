"""Writes the clips of a mined pack as a corpus of shards, with a list of where each came from."""

import os
from pathlib import Path

from core.errors import DataError, SettingsError
from core.files import write_atomically
from distill.corpus.manifests import PACK_COLUMNS, ManifestRow, build_manifest
from distill.corpus.shard_writer import write_shards
from distill.corpus.shards import ShardIndex, clip_key
from distill.corpus.tables import read_table, table_text
from distill.mining.pack import MANIFEST_FILE

CLIPS_FILE = "clips.csv"  # not manifest.csv: a folder of packs would take the shards for one of them


def check_shards_folder(pack: Path, folder: Path) -> None:
    """Raise before hours of mining what `write_pack_as_shards` would raise after them.

    Raises
    ------
    SettingsError
        If the shards would lie in the pack.
    DataError
        If a pack beside this one cannot be read, so that nobody knows who is held out of training.
    """
    if _real(folder).is_relative_to(_real(pack)):
        raise SettingsError(f"--shards is {folder}, a place in the pack {pack}; choose a folder of its own.")
    if any(_real(pack).parent.glob(f"*/{MANIFEST_FILE}")):
        build_manifest(_real(pack).parent)


def write_pack_as_shards(pack: Path, folder: Path) -> ShardIndex:
    """Write a pack's clips as shards, and ``clips.csv``; a write that was stopped goes on to the same bytes.

    A clip has its role in training: one of a subject or source that a pack in the same folder holds out is not among
    them. ``clips.csv`` has a row per clip: its key in the shards, then what the pack's manifest says of it, source,
    offset (start_s) and scores included.

    Raises
    ------
    DataError
        If no clip may be trained on, or the folder holds the shards of other clips.
    """
    data_root, name = _real(pack).parent, _real(pack).name
    rows = [row for row in build_manifest(data_root) if row.pack == name and row.role == "train"]
    if not rows:
        raise DataError(f"{pack} holds no clip that may be trained on, so there are no shards to write.")
    index = write_shards(rows, data_root, folder)
    write_atomically(folder / CLIPS_FILE, _clip_list(_real(pack), rows))
    return index


def _clip_list(pack: Path, rows: list[ManifestRow]) -> str:
    """The rows of the pack's manifest that are in the shards, each after its key."""
    table = read_table(pack / MANIFEST_FILE, PACK_COLUMNS, others=True)
    mined = {f"{pack.name}/{row.relative_path('path')}": row for row in table}
    records = [{"key": clip_key(position), **mined[row.path]} for position, row in enumerate(rows)]
    return table_text(list(records[0]), records)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
