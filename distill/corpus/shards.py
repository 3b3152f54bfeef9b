"""Says how a corpus of shards lies on disk: index, tar files and clips, and what is refused."""

import hashlib
import json
import math
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

import numpy as np
import soundfile
from pydantic import Field, ValidationError
from webdataset.tariterators import group_by_keys

from core.audio import SAMPLE_RATE_HZ
from core.errors import DataError
from distill.corpus.manifests import ManifestRow
from distill.corpus.waveform_store import read_int16
from distill.settings import Settings

FORMAT = "tussis.shards/1"
INDEX_FILE = "index.json"
SHARD_PATTERN = "corpus-*.tar"
MAX_CLIP_S = 4 * 3600  # 460 MB of int16; longer recordings are for tussis-mine to cut
MAX_RECORD_BYTES = 1 << 20  # of a KEY.json
WRITE_AGAIN = "copy it again from where it was written, or write the corpus again with tussis-corpus shards write"

Codec = Literal["flac", "opus"]
_SOUND_FILE = {"flac": ("FLAC", "PCM_16"), "opus": ("OGG", "OPUS")}
CODECS = tuple(_SOUND_FILE)
OPUS_KBIT_S = (6, 256)  # what libsndfile can ask of Opus for one channel, as its compression level 1 to 0
ROOM_KBIT_S = 96.0  # a room is heard in every clip that passes through it, and lasts less than a second
_KEY_DIGITS = 9
_BIT_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class ShardEntry(Settings):
    """One tar file of a corpus; ``licences`` counts its clips by licence."""

    file: str = Field(pattern=r"^corpus-[0-9]{6,9}\.tar$")
    bytes: int = Field(gt=0)
    sha256: Sha256
    clips: int = Field(gt=0)
    seconds: Seconds
    licences: dict[str, int]


class ShardIndex(Settings):
    """``index.json``: what the shards were made from, the shards in order, and their totals."""

    format: Literal["tussis.shards/1"] = FORMAT
    codec: Codec
    opus_kbit_s: float | None = Field(default=None, ge=OPUS_KBIT_S[0], le=OPUS_KBIT_S[1])
    sample_rate_hz: Literal[16_000] = SAMPLE_RATE_HZ
    roles: tuple[str, ...]
    shard_mib: float
    seed: int
    manifest_sha256: Sha256
    shards: tuple[ShardEntry, ...] = ()
    bytes: int = 0
    clips: int = 0
    seconds: Seconds = 0.0
    licences: dict[str, int] = Field(default_factory=dict)

    def with_shards(self, shards: tuple[ShardEntry, ...]) -> "ShardIndex":
        """The same corpus with these shards, and the totals that follow from them."""
        licences = sum((Counter(shard.licences) for shard in shards), Counter())
        totals = {
            "bytes": sum(shard.bytes for shard in shards),
            "clips": sum(shard.clips for shard in shards),
            "seconds": math.fsum(shard.seconds for shard in shards),
            "licences": dict(sorted(licences.items())),
        }
        return self.model_copy(update={"shards": shards, **totals})


class ClipRecord(Settings):
    """``KEY.json``: the manifest's row, the clip's length in ``samples`` at 16 kHz, and the hash of its source file."""

    row: ManifestRow
    samples: int = Field(gt=0, le=MAX_CLIP_S * SAMPLE_RATE_HZ)
    duration_s: Seconds
    source_sha256: Sha256


@dataclass(frozen=True)
class ShardClip:
    """A clip as it lies in a shard, read but not decoded; ``file`` is its shard."""

    file: Path
    key: str
    codec: str
    record: ClipRecord
    sound: bytes

    def waveform(self) -> np.ndarray:
        """Decode, int16, shape (record.samples,); DataError for another rate, channels or length, or damage."""
        name = f"{self.key}.{self.codec} in {self.file}"
        try:
            with soundfile.SoundFile(BytesIO(self.sound)) as sound:
                actual = f"{sound.frames} samples, {sound.channels} channel(s) at {sound.samplerate} Hz"
                if (sound.frames, sound.channels, sound.samplerate) != (self.record.samples, 1, SAMPLE_RATE_HZ):
                    expected = f"{self.record.samples} samples, 1 channel at {SAMPLE_RATE_HZ} Hz"
                    raise DataError(f"{name} holds {actual}; expected {expected}: {WRITE_AGAIN}.")
                waveform = sound.read(dtype="int16")
        except soundfile.LibsndfileError as error:
            raise DataError(f"{name} cannot be decoded ({error.error_string.rstrip('.')}): {WRITE_AGAIN}.") from error
        if len(waveform) != self.record.samples:
            raise DataError(f"{name} ends after {len(waveform)} of {self.record.samples} samples: {WRITE_AGAIN}.")
        return waveform


def clip_key(position: int) -> str:
    """The key of a recording: its position among the chosen rows of the manifest."""
    return f"{position:0{_KEY_DIGITS}d}"


def read_samples(path: Path) -> np.ndarray:
    """A recording as int16 at 16 kHz, shape (n,), with the same rounding as a waveform store's."""
    samples = read_int16(path)
    if len(samples) > MAX_CLIP_S * SAMPLE_RATE_HZ:
        limit = f"a shard holds clips of at most {MAX_CLIP_S / 3600:g} h: cut it first, for instance with tussis-mine"
        raise DataError(f"{path} is {len(samples) / SAMPLE_RATE_HZ / 3600:.1f} h long; {limit}.")
    return samples


def encode_clip(samples: np.ndarray, codec: Codec, opus_kbit_s: float | None = None) -> bytes:
    """Encode int16 samples (n,) at 16 kHz; the same samples give the same bytes.

    `opus_kbit_s` is about what Opus takes, pages of Ogg left out (2 kbit/s more); None leaves it to Opus, about 28.
    """
    container, subtype = _SOUND_FILE[codec]
    least, most = OPUS_KBIT_S
    level = None if opus_kbit_s is None or codec != "opus" else (most - opus_kbit_s) / (most - least)
    encoded = BytesIO()
    soundfile.write(encoded, samples, SAMPLE_RATE_HZ, format=container, subtype=subtype, compression_level=level)
    return encoded.getvalue() if codec == "flac" else with_fixed_serial(encoded.getvalue())


def with_fixed_serial(ogg: bytes) -> bytes:
    """An Ogg stream with serial number 0 on every page, where libsndfile drew one at random (RFC 3533, section 6)."""
    stream, start = bytearray(ogg), 0
    while start < len(stream):
        n_segments = stream[start + 26]
        end = start + 27 + n_segments + sum(stream[start + 27 : start + 27 + n_segments])
        stream[start + 14 : start + 18] = stream[start + 22 : start + 26] = bytes(4)
        stream[start + 22 : start + 26] = _ogg_checksum(bytes(stream[start:end])).to_bytes(4, "little")
        start = end
    return bytes(stream)


def _ogg_checksum(page: bytes) -> int:
    """Ogg's CRC-32 is zlib's with every byte and the result read from the other end, and without its inversions."""
    checksum = zlib.crc32(page.translate(_BIT_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{checksum:032b}"[::-1], 2)


def read_index(folder: Path) -> ShardIndex:
    """Read a corpus's ``index.json``; DataError where it is absent, of another format, or does not add up."""
    path = folder / INDEX_FILE
    if not path.is_file():
        remedy = "run tussis-corpus shards write, which also goes on where it was stopped"
        raise DataError(f"{folder} holds no finished corpus of shards, for there is no {INDEX_FILE}: {remedy}.")
    try:
        index = ShardIndex.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise DataError(f"{path} is not an index of shards ({_reason(error)}): {WRITE_AGAIN}.") from error
    names = [shard.file for shard in index.shards]
    if not names or len(set(names)) != len(names) or index != index.with_shards(index.shards):
        raise DataError(f"{path} does not add up (shards listed twice, or other totals): {WRITE_AGAIN}.")
    return index


def open_shard(folder: Path, entry: ShardEntry, verify: bool) -> BinaryIO:
    """Open a shard for reading; DataError where its size or, with `verify`, its SHA-256 is not the index's."""
    path = folder / entry.file
    try:
        file = path.open("rb")
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}): {WRITE_AGAIN}.") from error
    try:
        size = file.seek(0, 2)
        file.seek(0)
        if size != entry.bytes:
            state = "is truncated" if size < entry.bytes else "is too long"
            raise DataError(f"{path} {state}: {size} bytes where the index has {entry.bytes}: {WRITE_AGAIN}.")
        if verify and hashlib.file_digest(file, "sha256").hexdigest() != entry.sha256:
            raise DataError(f"{path} was altered: its SHA-256 is not the index's: {WRITE_AGAIN}.")
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def read_shard(
    folder: Path, entry: ShardEntry, codec: Codec, start: int = 0, verify: bool = True
) -> Iterator[ShardClip]:
    """Read the clips of a shard in order, from number `start` on; those before are passed over without reading them.

    Nothing is unpacked to disk: members are read by their header, and only those whose name, kind and size a corpus can
    have. DataError for anything else, and where the number of clips is not the index's.
    """
    path, number = folder / entry.file, -1
    with open_shard(folder, entry, verify) as file:
        try:
            with tarfile.open(fileobj=file, mode="r:") as archive:
                for number, sample in enumerate(group_by_keys(_members(archive, path, codec))):
                    if number >= start:
                        yield _read_clip(archive, sample, path, codec)
        except (tarfile.TarError, ValueError, OverflowError) as error:
            raise DataError(f"{path} is not a whole tar file ({error.args[0]}): {WRITE_AGAIN}.") from error
    if number + 1 != entry.clips:
        raise DataError(f"{path} holds {number + 1} clips where the index has {entry.clips}: {WRITE_AGAIN}.")


def _members(archive: tarfile.TarFile, path: Path, codec: Codec) -> Iterator[dict[str, Any]]:
    """The members' headers in webdataset's form, each checked before the next is read."""
    limits = {"json": MAX_RECORD_BYTES, codec: 2 * MAX_CLIP_S * SAMPLE_RATE_HZ}
    for member in archive:
        key, _, ending = member.name.partition(".")
        if not (len(key) == _KEY_DIGITS and key.isascii() and key.isdigit() and ending in limits):
            raise DataError(f"{path} holds {member.name!r}, a name that no corpus has: {WRITE_AGAIN}.")
        if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.issparse():
            raise DataError(f"{path} holds {member.name!r}, a link or other special file: {WRITE_AGAIN}.")
        if not 0 < member.size <= limits[ending]:
            at_most = f"expected 1 to {limits[ending]}"
            raise DataError(f"{path} holds {member.name!r} of {member.size} bytes; {at_most}: {WRITE_AGAIN}.")
        yield {"fname": member.name, "data": member, "__url__": str(path)}


def _read_clip(archive: tarfile.TarFile, sample: dict[str, Any], path: Path, codec: Codec) -> ShardClip:
    key = sample["__key__"]
    if not sample.keys() >= {"json", codec}:
        raise DataError(f"{path} holds {key} without its .json or .{codec}: {WRITE_AGAIN}.")
    try:
        record = ClipRecord.model_validate_json(archive.extractfile(sample["json"]).read())
    except ValidationError as error:
        raise DataError(f"{key}.json in {path} is not a clip's record ({_reason(error)}): {WRITE_AGAIN}.") from error
    return ShardClip(path, key, codec, record, archive.extractfile(sample[codec]).read())


def record_json(record: ClipRecord) -> bytes:
    """``KEY.json`` as bytes, the same for the same record."""
    return json.dumps(record.model_dump(mode="json"), ensure_ascii=False, sort_keys=True).encode()


def tally(records: Sequence[ClipRecord]) -> dict[str, int | float | dict[str, int]]:
    """What an index says of a shard's clips: clips, seconds, licences."""
    licences = Counter(record.row.licence for record in records)
    seconds = sum(record.samples for record in records) / SAMPLE_RATE_HZ
    return {"clips": len(records), "seconds": seconds, "licences": dict(sorted(licences.items()))}


def _reason(error: OSError | ValidationError) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}".removeprefix(": ")
