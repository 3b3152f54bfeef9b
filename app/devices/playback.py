"""Plays a recording on a thread of its own, whatever device gives the sound."""

import threading
from collections.abc import Callable, Iterable

import numpy as np

PlayBlocks = Callable[[Iterable[np.ndarray], int, threading.Event], None]


class ThreadedPlayback:
    """A `app.devices.facilities.Playback` over a device that is waited for.

    Parameters
    ----------
    play_blocks : callable
        Plays int16 blocks at a rate in Hz until they end or the event is set; an error's first words tell why it
        cannot.
    """

    def __init__(self, play_blocks: PlayBlocks) -> None:
        self._play_blocks = play_blocks
        self._stopped = threading.Event()

    def play(self, blocks: Iterable[np.ndarray], sample_rate_hz: int, on_end: Callable[[str], None]) -> None:
        """See `app.devices.facilities.Playback`."""
        self.stop()
        self._stopped = threading.Event()
        arguments = (blocks, sample_rate_hz, on_end, self._stopped)
        threading.Thread(target=self._play, args=arguments, name="playback", daemon=True).start()

    def stop(self) -> None:
        """See `app.devices.facilities.Playback`."""
        self._stopped.set()

    def _play(
        self,
        blocks: Iterable[np.ndarray],
        sample_rate_hz: int,
        on_end: Callable[[str], None],
        stopped: threading.Event,
    ) -> None:
        sentence = ""
        try:
            self._play_blocks(blocks, sample_rate_hz, stopped)
        except Exception as error:  # a sentence, whatever the device or the reader says
            sentence = f"The recording cannot be played: {str(error.args[0] if error.args else error).rstrip('.')}."
        on_end(sentence)
