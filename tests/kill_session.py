"""A victim of `kill_test`: a whole session that records, judges and decides, fed by a microphone in real time."""

import random
import threading
import time
from typing import Any

import numpy as np

from app.recorder import to_pcm16
from app.recording_session import RecordingSession
from core.errors import BundleError
from tests.app.opened_casebook import STUDY

RATE_HZ, BLOCK_SAMPLES = 16_000, 320
MOST_LOST_SAMPLES = RATE_HZ


def taken(seed: int, n_samples: int) -> np.ndarray:
    """What the microphone delivers in the take of this seed, float32; it can be told from any other."""
    n_blocks = -(-n_samples // BLOCK_SAMPLES)
    noise = 0.05 * np.random.default_rng(seed).standard_normal(n_blocks * BLOCK_SAMPLES)
    return noise.astype(np.float32)[:n_samples]


class ToldMicrophone:
    """Delivers a take in real time, and says so before each block."""

    def __init__(self, say: Any, chance: random.Random) -> None:
        self.n_overflows, self.has_ended = 0, False
        self.facts = {"name": "told", "sample_rate_hz": RATE_HZ}
        self._say, self._chance = say, chance
        self._number = 0

    def start(self, on_block: Any) -> int:
        self._number += 1
        threading.Thread(target=self._play, args=(on_block, self._number), daemon=True).start()
        return RATE_HZ

    def stop(self) -> None:
        self._number += 1

    def _play(self, on_block: Any, number: int) -> None:
        seed, n_delivered, next_s = self._chance.getrandbits(32), 0, time.monotonic()
        take = taken(seed, 30 * RATE_HZ)
        while number == self._number and n_delivered < len(take):
            block = take[n_delivered : n_delivered + BLOCK_SAMPLES]
            n_delivered += len(block)
            self._say(take=seed, delivered=n_delivered)
            on_block(block)
            next_s += BLOCK_SAMPLES / RATE_HZ
            time.sleep(max(0.0, next_s - time.monotonic()))


def no_model() -> Any:
    """The victim is not about the model."""
    raise BundleError("there is no model")


def record_session(work: Any, say: Any, chance: random.Random) -> None:
    """Do the tasks of a participant, again and again: record for a while, stop, keep or do it again."""
    casebook = work.opened()
    while True:
        session = RecordingSession(
            casebook, STUDY, no_model, ToldMicrophone(say, chance), work.participant_id, lambda job: None
        )
        while session.state.step != "done":
            if session.state.step == "ready":
                session.start()
                time.sleep(chance.uniform(0.3, 1.2))
                session.stop()
            elif session.state.step == "decide":
                if chance.random() < 0.5:
                    session.redo()
                else:
                    session.keep_with_reason("unable")
            time.sleep(0.005)
        session.abandon()


def check_session(work: Any, said: list[dict[str, Any]]) -> None:
    """Each recording is what one take delivered, and of the last take no more than a second is missing."""
    delivered: dict[int, int] = {}
    for message in said:
        if "take" in message:
            delivered[message["take"]] = message["delivered"]
    casebook = work.opened()
    try:
        found = {}
        for attempt in casebook.attempts():
            if attempt.record_id not in work.expected and attempt.duration_s > 0:
                samples = casebook.audio(attempt.record_id).read()
                seed = next((seed for seed, n in delivered.items() if _is_part(samples, seed, n)), None)
                if seed is None:
                    raise AssertionError(f"the sound of {attempt.record_id} is of no take")
                found[seed] = len(samples)
        if delivered:
            last = list(delivered)[-1]
            if found.get(last, 0) < delivered[last] - MOST_LOST_SAMPLES:
                raise AssertionError(
                    f"{found.get(last, 0)} samples are there, of {delivered[last]} that were delivered"
                )
        there = {record.id: record.content for record in casebook.records.all()}
        if any(there.get(record_id) not in allowed for record_id, allowed in work.expected.items()):
            raise AssertionError("an earlier record is not as it was")
        for attempt in casebook.unfinished():
            casebook.finish_attempt(attempt.record_id, None, None, "kept_with_reason", "killed")
        for record in casebook.records.all():
            work.expected[record.id] = [record.content]
    finally:
        casebook.records.close()


def _is_part(samples: np.ndarray, seed: int, n_delivered: int) -> bool:
    return len(samples) <= n_delivered and np.array_equal(samples, to_pcm16(taken(seed, len(samples))))
