"""Records on Android, from a ring that Java fills, so that a late Python thread loses no sound."""

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.devices.android.background import Background, BackgroundError
from app.devices.android.java import bytes_of, cast_to, java, leave_java, ours
from app.devices.android.permissions import Permissions
from app.devices.microphone import Fault, MicrophoneError, OnBlock

RATES_HZ = (48_000, 44_100, 16_000)
RING_S = 10
POLL_S = 0.04
TAKE_S = 0.1  # the longest block
ZEROS_MEAN_SILENCED_S = 1.0
NOT_ALLOWED = "Android does not let Tussis use the microphone; allow it in the phone's settings."
UNPROCESSED, VOICE_RECOGNITION, MIC = "UNPROCESSED", "VOICE_RECOGNITION", "MIC"
SOURCES = (UNPROCESSED, VOICE_RECOGNITION, MIC)


class AndroidMicrophone:
    """The phone's microphone, mono, as little processed as the phone offers.

    While another app has the microphone Android gives zeros. They are not delivered: the place counts as one gap, and
    the recording goes on when sound comes again.

    Parameters
    ----------
    context : Java object
        The application's context.
    source : str
        One of `SOURCES`; "" for the best that the phone says it has.
    background : Background or None
        What keeps the application alive as long as this records.
    permissions : Permissions or None
        Asked, where the microphone is not allowed yet; the recording does not start then.

    Attributes
    ----------
    lost_s : float
        Seconds of sound that were lost or silenced since `start`.
    is_silenced : bool
        Whether another app has the microphone now.
    source : str
        The parameter; for the next `start`.
    """

    sources = SOURCES

    def __init__(
        self,
        context: Any,
        source: str = "",
        background: Background | None = None,
        permissions: Permissions | None = None,
    ) -> None:
        self.n_overflows, self.lost_s = 0, 0.0
        self.has_ended = self.is_silenced = False
        self.facts: dict[str, Any] = {}
        self._context, self.source = context, source
        self._background, self._permissions = background, permissions
        self._starting = threading.Lock()
        self._delivery: _Delivery | None = None

    def start(self, on_block: OnBlock) -> int:
        """See `app.devices.microphone.Microphone.start`."""
        with self._starting:
            self._end()
            self._prepare()
            source = self.source or best_source(self._context)
            try:
                capture, rate_hz = _open(self._context, source)
            except MicrophoneError:
                self._leave_background()
                raise
            self.n_overflows, self.lost_s = 0, 0.0
            self.has_ended = self.is_silenced = False
            self.facts = {"name": f"Android {source}", "source": source, "sample_rate_hz": rate_hz}
            self._delivery = _Delivery(self, capture, rate_hz, on_block)
            return rate_hz

    def stop(self) -> None:
        """See `app.devices.microphone.Microphone.stop`."""
        with self._starting:
            self._end()
            self._leave_background()

    def note_silence(self, is_silenced: bool) -> None:
        """Called by the delivery where another application takes the microphone or gives it back."""
        self.is_silenced = is_silenced
        if self._background is not None:
            self._background.say_silenced(is_silenced)

    def _prepare(self) -> None:
        if self._permissions is not None and not self._permissions.may_record():
            self._permissions.ask_to_record()
            raise MicrophoneError(NOT_ALLOWED)
        if self._background is not None:
            try:
                self._background.start()
            except BackgroundError as error:
                raise MicrophoneError(str(error)) from error

    def _leave_background(self) -> None:
        if self._background is not None:
            self._background.stop()

    def _end(self) -> None:
        delivery, self._delivery = self._delivery, None
        if delivery is not None:
            delivery.end()


class _Delivery:
    """One recording's way from the ring to `on_block`, on a thread of its own."""

    def __init__(self, microphone: AndroidMicrophone, capture: Any, rate_hz: int, on_block: OnBlock) -> None:
        self._microphone, self._capture, self._rate_hz, self._on_block = microphone, capture, rate_hz, on_block
        self._silence = _Silence(rate_hz)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="microphone", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop, and deliver what the ring still holds."""
        self._capture.stop()
        self._ended.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        try:
            while not self._ended.wait(POLL_S):
                error = self._capture.error()  # before what is left is taken
                self._drain()
                if error != ours("Capture").OK:
                    self._microphone.has_ended = True
                    return
            self._drain()
        finally:
            leave_java()

    def _drain(self) -> None:
        at_most_bytes = 2 * round(TAKE_S * self._rate_hz)
        while True:
            if lost := self._capture.takeLost():
                self._note_gap(lost / self._rate_hz)
            block = np.frombuffer(bytes_of(self._capture.take(at_most_bytes)), "<i2")
            if not len(block):
                return
            self._take(block)

    def _take(self, block: np.ndarray) -> None:
        microphone, silence = self._microphone, self._silence
        is_silenced = silence.holds(block, self._capture.isSilenced())
        if is_silenced != microphone.is_silenced:
            microphone.note_silence(is_silenced)
            microphone.n_overflows += not is_silenced
        if is_silenced:
            microphone.lost_s += len(block) / self._rate_hz
            return
        self._on_block(block.astype(np.float32) / 32768.0)

    def _note_gap(self, lost_s: float) -> None:
        self._microphone.n_overflows += 1
        self._microphone.lost_s += lost_s


@dataclass
class _Silence:
    """Tells silence that Android gives from a quiet room, which is never exactly zero for long."""

    rate_hz: int
    n_zeros: int = 0

    def holds(self, block: np.ndarray, is_told: bool) -> bool:
        """Whether this block is none of the room's sound: all zeros, and Android says so or it lasted."""
        if block.any():
            self.n_zeros = 0
            return False
        self.n_zeros += len(block)
        return is_told or self.n_zeros > ZEROS_MEAN_SILENCED_S * self.rate_hz


def best_source(context: Any) -> str:
    """UNPROCESSED where the phone says that it has it, else VOICE_RECOGNITION, which most leave alone."""
    manager_class = java("android.media.AudioManager")
    manager = cast_to("android.media.AudioManager", context.getSystemService("audio"))
    has_it = manager.getProperty(manager_class.PROPERTY_SUPPORT_AUDIO_SOURCE_UNPROCESSED)
    return UNPROCESSED if has_it == "true" else VOICE_RECOGNITION


def _open(context: Any, source: str) -> tuple[Any, int]:
    """A capture that records, of this source or else the plain one, and its rate in Hz."""
    capture_class, numbers = ours("Capture"), java("android.media.MediaRecorder$AudioSource")
    code = capture_class.NO_DEVICE
    for name in dict.fromkeys((source, MIC)):
        for rate_hz in RATES_HZ:
            capture = capture_class(getattr(numbers, name), rate_hz, RING_S)
            code = capture.start(context)
            if code == capture_class.OK:
                return capture, rate_hz
            if code != capture_class.NO_DEVICE:
                raise _refusal(code)
    raise _refusal(code)


def _refusal(code: int) -> MicrophoneError:
    capture_class = ours("Capture")
    if code == capture_class.REFUSED:
        return MicrophoneError(NOT_ALLOWED)
    if code == capture_class.BUSY:
        return MicrophoneError("Another app has the microphone; end its call or recording, and press Record again.")
    return MicrophoneError("This phone has no microphone that records in a way Tussis can use.", Fault.MISSING)
