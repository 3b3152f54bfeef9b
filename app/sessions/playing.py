"""Plays records, one at a time, beside what else the application does."""

from collections.abc import Callable
from functools import partial
from typing import Any

from app.devices.facilities import Playback
from app.errands import Errands
from core.errors import TussisError


class PlayingErrands(Errands):
    """Errands that can play.

    Attributes
    ----------
    playing : str
        Id of the record that is played; "" where none is.
    """

    def __init__(self, schedule: Callable[[Callable[[], None]], None], playback: Playback) -> None:
        super().__init__(schedule)
        self.playing, self._playback = "", playback

    def play_audio(self, record_id: str, open_audio: Callable[[], Any]) -> None:
        """Play the `SealedAudioReader` that `open_audio` gives; a sentence tells where that cannot be."""
        self.stop_playing()
        self.playing = record_id

        def begin(reader: Any) -> None:
            if self.playing == record_id:
                self._playback.play(reader.blocks(), reader.sample_rate_hz, partial(self._playing_ended, record_id))

        self.run(open_audio, begin, self._playing_failed, in_background=True)

    def stop_playing(self) -> None:
        """End what is played."""
        if self.playing:
            self._playback.stop()
            self.playing = ""
            self.changed()

    def _playing_ended(self, record_id: str, sentence: str) -> None:
        def settle() -> None:
            if self.playing == record_id:
                self.playing = ""
                self.changed()
                if sentence:
                    self.say("error", sentence)

        self.schedule(settle)

    def _playing_failed(self, error: TussisError) -> None:
        self.playing = ""
        self.show_error(error)
