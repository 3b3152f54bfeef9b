"""Records from a desktop's sound card through sounddevice and PortAudio, imported when first needed."""

from types import ModuleType
from typing import Any

import numpy as np

from app.microphone import MicrophoneError, OnBlock

PREFERRED_RATES_HZ = (48_000, 16_000)
BLOCK_S = 0.02


class DesktopMicrophone:
    """The default input device, mono, at 48 kHz or else 16 kHz or else the device's own rate."""

    def __init__(self) -> None:
        self.n_overflows = 0
        self._stream: Any = None

    def start(self, on_block: OnBlock) -> int:
        """See `app.microphone.Microphone.start`."""
        sounddevice = _sounddevice()
        self.n_overflows = 0
        try:
            rate_hz = _supported_rate_hz(sounddevice)
            self._stream = sounddevice.InputStream(
                samplerate=rate_hz,
                blocksize=round(BLOCK_S * rate_hz),
                channels=1,
                dtype="float32",
                callback=self._deliver_to(on_block),
            )
            self._stream.start()
        except sounddevice.PortAudioError as error:
            self.stop()
            raise MicrophoneError(
                f"The microphone could not be opened ({_reason(error)}); "
                "connect one, or allow its use, and press Record again."
            ) from error
        return rate_hz

    def stop(self) -> None:
        """See `app.microphone.Microphone.stop`."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def _deliver_to(self, on_block: OnBlock) -> Any:
        def callback(indata: np.ndarray, n_samples: int, times: Any, status: Any) -> None:
            self.n_overflows += bool(status.input_overflow)
            on_block(indata[:, 0])

        return callback


def _sounddevice() -> ModuleType:
    try:
        import sounddevice
    except ImportError as error:
        raise MicrophoneError(
            "Recording needs the Python package sounddevice, which is not installed; opening a recording still works."
        ) from error
    except OSError as error:
        raise MicrophoneError(
            "Recording needs the PortAudio library, which is not installed (Debian: libportaudio2); "
            "opening a recording still works."
        ) from error
    return sounddevice


def _supported_rate_hz(sounddevice: ModuleType) -> int:
    _rescan(sounddevice)
    try:
        device = sounddevice.query_devices(kind="input")
    except (sounddevice.PortAudioError, ValueError) as error:
        raise MicrophoneError("No microphone was found; opening a recording still works.") from error
    for rate_hz in PREFERRED_RATES_HZ:
        try:
            sounddevice.check_input_settings(channels=1, dtype="float32", samplerate=rate_hz)
        except sounddevice.PortAudioError:
            continue
        return rate_hz
    return round(device["default_samplerate"])


def _rescan(sounddevice: ModuleType) -> None:
    """PortAudio lists the devices once, when it starts; start it again so that one plugged in later is seen."""
    sounddevice._terminate()
    sounddevice._initialize()


def _reason(error: Exception) -> str:
    """PortAudio's own words, without the code that follows them."""
    return str(error.args[0] if error.args else error).split(" [")[0].rstrip(".")
