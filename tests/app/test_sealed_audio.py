"""Checks that sealed sound is read back sample for sample, and what a kill, a full disk and a hand leave of it."""

import os
import resource
import signal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import app.sealed_audio
from app.sealed_audio import (
    ALTERED,
    COMPLETE,
    MAX_BLOCK_BYTES,
    UNFINISHED,
    DiskFullError,
    SealedAudioError,
    SealedAudioReader,
    SealedAudioWriter,
)

KEY, OTHER_KEY = bytes(range(32)), bytes(32)
RATE_HZ = 16_000
BLOCK_SAMPLES = 6_400


def noise(n_samples: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(-32768, 32768, n_samples, dtype=np.int16)


def written(path, samples, record_id="r1", key=KEY, close=True, rate_hz=RATE_HZ):
    writer = SealedAudioWriter(path, key, record_id, rate_hz)
    writer.append(samples)
    if close:
        writer.close()
    return path


def read(path, record_id="r1", key=KEY):
    reader = SealedAudioReader(path, key, record_id)
    return reader.read(), reader.state


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100, 48_000, 192_000])
@pytest.mark.parametrize("duration_s", [0.001, 0.4, 1.0, 3.21])
def test_what_was_written_is_read_sample_for_sample(tmp_path, rate_hz, duration_s):
    samples = noise(int(rate_hz * duration_s))
    reader = SealedAudioReader(written(tmp_path / "a", samples, rate_hz=rate_hz), KEY, "r1")
    assert np.array_equal(reader.read(), samples)
    assert (reader.state, reader.n_samples, reader.gaps) == (COMPLETE, len(samples), ())
    assert reader.sample_rate_hz == rate_hz and reader.duration_s == len(samples) / rate_hz
    assert max(len(block) for block in reader.blocks()) <= rate_hz * 0.5


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 9_000), max_size=12))
def test_how_samples_arrive_does_not_matter(tmp_path_factory, lengths):
    samples = noise(sum(lengths) + 1)
    path = tmp_path_factory.mktemp("sound") / "a"
    writer = SealedAudioWriter(path, KEY, "r1", RATE_HZ)
    for part in np.split(samples, np.cumsum(lengths)):
        writer.append(part)
    assert (writer.n_samples, writer.duration_s) == (len(samples), len(samples) / RATE_HZ)
    writer.close()
    writer.close()
    content, state = read(path)
    assert state == COMPLETE and np.array_equal(content, samples)


def test_gaps_stand_where_the_sound_was_lost(tmp_path):
    writer = SealedAudioWriter(tmp_path / "a", KEY, "r1", RATE_HZ)
    writer.append(noise(RATE_HZ))
    writer.mark_gap(2.5)
    writer.append(noise(RATE_HZ // 2, 2))
    writer.mark_gap(0.25)
    writer.close()
    reader = SealedAudioReader(tmp_path / "a", KEY, "r1")
    assert np.array_equal(reader.read(), np.concatenate([noise(RATE_HZ), noise(RATE_HZ // 2, 2)]))
    assert reader.gaps == ((1.0, 2.5), (1.5, 0.25)) and reader.state == COMPLETE
    assert (writer.gaps, writer.state) == (reader.gaps, COMPLETE)


def test_samples_in_memory_are_copied(tmp_path):
    writer = SealedAudioWriter(tmp_path / "a", KEY, "r1", RATE_HZ)
    reused = noise(1000)
    writer.append(reused)
    reused[:] = 0
    writer.close()
    assert np.array_equal(read(tmp_path / "a")[0], noise(1000))


def test_what_a_kill_leaves_is_read_up_to_its_last_block(tmp_path):
    path = written(tmp_path / "a", noise(3 * BLOCK_SAMPLES), close=False)
    content = path.read_bytes()
    seen = {}
    for n_bytes in range(40, len(content) + 1, 97):
        path.write_bytes(content[:n_bytes])
        samples, state = read(path)
        assert state == UNFINISHED
        assert np.array_equal(samples, noise(3 * BLOCK_SAMPLES)[: len(samples)])
        seen[len(samples) // BLOCK_SAMPLES] = True
    assert set(seen) == {0, 1, 2} and len(samples) % BLOCK_SAMPLES == 0
    path.write_bytes(content)
    assert len(read(path)[0]) == 3 * BLOCK_SAMPLES


@pytest.mark.parametrize("n_zeros", [1, 4, 5, 100_000])
@pytest.mark.parametrize("n_torn", [0, 20, 5_000])
def test_room_that_a_flat_battery_left_empty_is_unfinished_and_not_altered(tmp_path, n_zeros, n_torn):
    path = written(tmp_path / "a", noise(2 * BLOCK_SAMPLES), close=False)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - n_torn] + bytes(n_torn) + bytes(n_zeros))
    samples, state = read(path)
    assert state == UNFINISHED and len(samples) == (2 if n_torn == 0 else 1) * BLOCK_SAMPLES


def test_each_altered_byte_is_told_and_what_stands_before_is_read(tmp_path):
    path = written(tmp_path / "a", noise(400), rate_hz=4_000)
    first = len(path.read_bytes())
    path.unlink()
    writer = SealedAudioWriter(path, KEY, "r1", 4_000)
    writer.append(noise(1600))
    writer.append(noise(400, 2))
    writer.close()
    content = path.read_bytes()
    for place in [*range(60), *range(60, len(content), 13), len(content) - 1]:
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        try:
            samples, state = read(path)
        except SealedAudioError:
            assert place < 8 + 1 + 4 + 1 + 2
            continue
        assert state == ALTERED or (state == UNFINISHED and place in _lengths_of(content))
        assert len(samples) == (1600 if place >= len(content) - first + 23 else 0)


def _lengths_of(content: bytes) -> set[int]:
    """Places of the numbers that say how long the last block is: a longer one reads as a block that is torn."""
    last = len(content) - (400 * 2 + 1 + 16) - 4
    return set(range(last, last + 4)) | {content.index(b"r1") + 2 + 7 + 1 + place for place in range(4)}


def test_blocks_in_another_order_or_of_another_recording_are_refused(tmp_path):
    first = written(tmp_path / "a", noise(3 * BLOCK_SAMPLES), close=False).read_bytes()
    other = written(tmp_path / "b", noise(3 * BLOCK_SAMPLES), close=False).read_bytes()
    n_block = 5 + 1 + 2 * BLOCK_SAMPLES + 16
    n_head = len(first) - 3 * n_block
    block = [first[n_head + number * n_block :][:n_block] for number in range(3)]
    foreign = other[n_head + n_block :][:n_block]
    for order, n_good in (
        ([block[1], block[0], block[2]], 0),
        ([block[0], block[2], block[1]], 1),
        ([block[0], block[0], block[2]], 1),
        ([block[0], foreign, block[2]], 1),
    ):
        (tmp_path / "c").write_bytes(first[:n_head] + b"".join(order))
        samples, state = read(tmp_path / "c")
        assert (len(samples), state) == (n_good * BLOCK_SAMPLES, ALTERED)


def test_bytes_after_the_last_block_are_told(tmp_path):
    path = written(tmp_path / "a", noise(1000))
    path.write_bytes(path.read_bytes() + b"\0")
    samples, state = read(path)
    assert len(samples) == 1000 and state == ALTERED


def test_a_file_without_its_last_block_is_unfinished(tmp_path):
    path = written(tmp_path / "a", noise(2 * BLOCK_SAMPLES))
    path.write_bytes(path.read_bytes()[: -(5 + 1 + 16)])
    assert read(path)[1] == UNFINISHED


@pytest.mark.parametrize(("key", "record_id"), [(OTHER_KEY, "r1"), (KEY, "r2")])
def test_another_records_sound_is_refused(tmp_path, key, record_id):
    path = written(tmp_path / "a", noise(1000), record_id, key)
    try:
        samples, state = read(path)
    except SealedAudioError as error:
        assert "altered" in str(error)
    else:
        assert state == ALTERED and len(samples) == 0


@pytest.mark.parametrize("content", [b"", b"RIFF", b"TUSSISAU", b"TUSSISAU" + bytes(200), os.urandom(400)])
def test_what_is_no_sealed_sound_is_one_sentence(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(SealedAudioError, match="recording"):
        SealedAudioReader(tmp_path / "a", KEY, "r1")


def test_a_file_that_is_gone_is_one_sentence(tmp_path):
    with pytest.raises(SealedAudioError, match="cannot be read"):
        SealedAudioReader(tmp_path / "a", KEY, "r1")


def test_a_length_beyond_half_a_second_is_not_read_into_memory(tmp_path):
    path = written(tmp_path / "a", noise(BLOCK_SAMPLES), close=False)
    path.write_bytes(path.read_bytes() + b"\0" + (MAX_BLOCK_BYTES + 1).to_bytes(4, "little") + bytes(MAX_BLOCK_BYTES))
    assert read(path)[1] == ALTERED


def test_no_sample_stands_in_the_file(tmp_path):
    samples = noise(RATE_HZ)
    content = written(tmp_path / "a", samples).read_bytes()
    assert not any(samples[start : start + 8].tobytes() in content for start in range(0, len(samples) - 8, 8))


def test_the_same_sound_is_never_sealed_alike(tmp_path):
    first, second = (written(tmp_path / name, noise(1000)).read_bytes() for name in "ab")
    assert first[-500:] != second[-500:]


def test_a_recording_without_sound_leaves_no_file(tmp_path):
    SealedAudioWriter(tmp_path / "a", KEY, "r1", RATE_HZ).close()
    assert not list(tmp_path.iterdir())


def test_a_file_is_never_written_over(tmp_path):
    path = written(tmp_path / "a", noise(1000))
    with pytest.raises(SealedAudioError, match="cannot be written"):
        SealedAudioWriter(path, KEY, "r1", RATE_HZ)
    assert len(read(path)[0]) == 1000


def test_a_recording_that_ended_takes_no_more(tmp_path):
    writer = SealedAudioWriter(tmp_path / "a", KEY, "r1", RATE_HZ)
    writer.append(noise(10))
    writer.close()
    with pytest.raises(SealedAudioError, match="ended"):
        writer.append(noise(BLOCK_SAMPLES))
    assert read(tmp_path / "a")[1] == COMPLETE


def test_samples_that_wait_are_written_when_they_are_due(tmp_path, monkeypatch):
    writer = SealedAudioWriter(tmp_path / "a", KEY, "r1", RATE_HZ)
    writer.append(noise(100))
    writer.sync_if_due()
    assert len(read(tmp_path / "a")[0]) == 0
    monkeypatch.setattr(app.sealed_audio, "BLOCK_S", 0.0)
    writer.sync_if_due()
    assert len(read(tmp_path / "a")[0]) == 100
    writer.close()
    assert read(tmp_path / "a")[1] == COMPLETE


@pytest.fixture
def file_limit():
    """A limit on the length of files, as a full disk has one; lifted afterwards."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda n_bytes: resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("n_bytes", [0, 10, 30, 100, 12_840, 15_000, 25_700])
def test_a_full_disk_keeps_whole_blocks_and_no_empty_file(tmp_path, file_limit, n_bytes):
    file_limit(n_bytes)
    try:
        with pytest.raises(SealedAudioError, match="cannot be written"):
            written(tmp_path / "a", noise(5 * BLOCK_SAMPLES))
    finally:
        file_limit(resource.RLIM_INFINITY)
    if n_bytes < 24:
        assert not list(tmp_path.iterdir())
    else:
        samples, state = read(tmp_path / "a")
        assert state == UNFINISHED and np.array_equal(samples, noise(5 * BLOCK_SAMPLES)[: len(samples)])


def test_blocks_that_found_no_room_are_written_once_there_is_some(tmp_path, file_limit):
    writer = SealedAudioWriter(tmp_path / "a", KEY, "r1", RATE_HZ)
    writer.append(noise(BLOCK_SAMPLES))
    file_limit(20_000)
    with pytest.raises(SealedAudioError):
        writer.append(noise(BLOCK_SAMPLES, 2))
    assert len(read(tmp_path / "a")[0]) == BLOCK_SAMPLES
    file_limit(resource.RLIM_INFINITY)
    writer.close()
    samples, state = read(tmp_path / "a")
    assert state == COMPLETE
    assert np.array_equal(samples, np.concatenate([noise(BLOCK_SAMPLES), noise(BLOCK_SAMPLES, 2)]))


def test_a_nearly_full_disk_ends_a_recording_that_can_still_be_closed(tmp_path, monkeypatch):
    writer = SealedAudioWriter(tmp_path / "a", KEY, "r1", RATE_HZ)
    monkeypatch.setattr(app.sealed_audio, "RESERVE_BYTES", 2**62)
    with pytest.raises(DiskFullError, match="nearly full"):
        writer.append(noise(BLOCK_SAMPLES + 50))
    writer.close()
    samples, state = read(tmp_path / "a")
    assert state == COMPLETE and len(samples) == BLOCK_SAMPLES + 50
    with pytest.raises(DiskFullError):
        SealedAudioWriter(tmp_path / "b", KEY, "r1", RATE_HZ)
    assert not (tmp_path / "b").exists()


def test_other_samples_and_rates_are_refused(tmp_path):
    writer = SealedAudioWriter(tmp_path / "a", KEY, "r1", RATE_HZ)
    for wrong in (np.zeros(3, np.float32), np.zeros((3, 2), np.int16)):
        with pytest.raises(TypeError, match="int16"):
            writer.append(wrong)
    writer.close()
    with pytest.raises(SealedAudioError, match="3999 Hz"):
        SealedAudioWriter(tmp_path / "b", KEY, "r1", 3_999)
