"""Records from a desktop's sound card through sounddevice and PortAudio, imported when first needed."""

import threading
from types import ModuleType
from typing import Any

import numpy as np

from app.devices.microphone import Fault, MicrophoneError, OnBlock

PREFERRED_RATES_HZ = (48_000, 16_000)
BLOCK_S = 0.02


class DesktopMicrophone:
    """The default input device, mono, at 48 kHz or else 16 kHz or else the device's own rate."""

    def __init__(self) -> None:
        self.n_overflows = 0
        self.has_ended = False
        self.facts: dict[str, Any] = {}
        self._portaudio = threading.Lock()  # it must not be entered by two at a time, even where one hangs in it
        self._n_calls = 0
        self._stream: Any = None

    def start(self, on_block: OnBlock) -> int:
        """See `app.devices.microphone.Microphone.start`."""
        number = self._outdate()
        with self._portaudio:
            self._close()
            sounddevice = _sounddevice()
            device, rate_hz = _supported_device(sounddevice)
            self.n_overflows, self.has_ended = 0, False
            try:
                self._stream = self._open(sounddevice, rate_hz, on_block, number)
                self._stream.start()
            except sounddevice.PortAudioError as error:
                self._close()
                raise MicrophoneError(
                    f"The microphone could not be opened ({_reason(error)}); "
                    "connect one, or allow its use, and press Record again."
                ) from error
            if number != self._n_calls:
                self._close()
                raise MicrophoneError("The microphone answered too late and was closed again.", Fault.HUNG)
            self.facts = {"name": str(device["name"]), "sample_rate_hz": rate_hz}
            return rate_hz

    def stop(self) -> None:
        """See `app.devices.microphone.Microphone.stop`."""
        self._outdate()
        with self._portaudio:
            self._close()

    def _outdate(self) -> int:
        """A number for this call; a start of before that still hangs finds its own outdated, and closes its stream."""
        self._n_calls += 1
        return self._n_calls

    def _close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def _open(self, sounddevice: ModuleType, rate_hz: int, on_block: OnBlock, number: int) -> Any:
        return sounddevice.InputStream(
            samplerate=rate_hz,
            blocksize=round(BLOCK_S * rate_hz),
            channels=1,
            dtype="float32",
            callback=self._deliver_to(on_block, number),
            finished_callback=lambda: self._note_end(number),
        )

    def _note_end(self, number: int) -> None:
        """PortAudio's call when a stream is over: on our own close too, which comes with another number."""
        if number == self._n_calls:
            self.has_ended = True

    def _deliver_to(self, on_block: OnBlock, number: int) -> Any:
        def callback(indata: np.ndarray, n_samples: int, times: Any, status: Any) -> None:
            if number == self._n_calls:
                self.n_overflows += bool(status.input_overflow)
                on_block(indata[:, 0])

        return callback


def _sounddevice() -> ModuleType:
    try:
        import sounddevice
    except ImportError as error:
        raise MicrophoneError(
            "Recording needs the Python package sounddevice, which is not installed; opening a recording still works.",
            Fault.NO_LIBRARY,
        ) from error
    except OSError as error:
        raise MicrophoneError(
            "Recording needs the PortAudio library, which is not installed (Debian: libportaudio2); "
            "opening a recording still works.",
            Fault.NO_LIBRARY,
        ) from error
    return sounddevice


def _supported_device(sounddevice: ModuleType) -> tuple[Any, int]:
    """The default input device, as PortAudio describes it, and the rate in Hz to open it at."""
    try:
        _rescan(sounddevice)
        device = sounddevice.query_devices(kind="input")
    except (sounddevice.PortAudioError, ValueError) as error:
        raise MicrophoneError("No microphone was found; opening a recording still works.", Fault.MISSING) from error
    for rate_hz in PREFERRED_RATES_HZ:
        try:
            sounddevice.check_input_settings(channels=1, dtype="float32", samplerate=rate_hz)
        except sounddevice.PortAudioError:
            continue
        return device, rate_hz
    return device, round(device["default_samplerate"])


def _rescan(sounddevice: ModuleType) -> None:
    """PortAudio lists the devices once, when it starts; start it again so that one plugged in later is seen."""
    sounddevice._terminate()
    sounddevice._initialize()


def _reason(error: Exception) -> str:
    """PortAudio's own words, without the code that follows them."""
    return str(error.args[0] if error.args else error).split(" [")[0].rstrip(".")
