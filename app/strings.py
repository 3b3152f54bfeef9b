"""Holds the window's words that are not part of a screening, so that they can be translated."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.quality import REASON_SENTENCES

APP_NAME = "Tussis"
CONSENT = (
    "Listens for coughs, on this device only. Record people only with their consent. A research tool, not a diagnosis."
)
NOT_A_DIAGNOSIS = "A research tool, not a diagnosis."

RECORD = "Record"
STOP = "Stop and screen"
RECORD_HINT = "Hold the device about 30 cm away\nand cough a few times."
OPEN = "Open a recording"
RECORD_AGAIN = "New recording"
COPY = "Copy result as text"
COPIED = "Copied"
CANCEL = "Cancel"
PARENT_FOLDER = "One folder up"
EMPTY_FOLDER = "No recordings in this folder."
LOADING_MODEL = "Loading the model ..."

LEVEL = "Level"
TOO_QUIET = "Too quiet: come closer"
GOOD_LEVEL = "Good level"
TOO_LOUD = "Too loud: move away"

SCREENING = "Screening"
SCREENING_HINT = "This usually takes a moment."
ERROR_TITLE = "That did not work"

QUALITY = "Recording quality"
ACCEPTABLE = "Acceptable"
NOT_ACCEPTABLE = "Not acceptable"
NOT_SCORED = "Not scored"
NOT_SCORED_MEANING = "This is not a negative result: the recording cannot be judged."
SOUNDS = "Sounds heard"
SOUNDS_HINT = "Probability in the most probable clip. It is not a risk of disease."
PEAK = "Peak"
LOUDNESS = "Loudness (RMS)"
CLIPPED = "Samples cut off"
SNR = "Signal over noise"
UNKNOWN = "not known"
TIMING = "Time taken"
MODEL = "Model"
BUNDLE = "Bundle"
SIGNATURE = "Signature"
SHA256 = "SHA-256 begins"
FORMAT = "Format version"
GAPS_TITLE = "Sound was lost"

STATUS = {
    "validated": "VALIDATED",
    "unverified": "NOT VERIFIED",
    "research": "RESEARCH ONLY",
    "demonstration": "DEMONSTRATION ONLY",
}
UNVERIFIED_MEANING = "It calls itself validated, but no trusted key signed the bundle."
DECISIONS = {"refer": "Refer", "not referred": "Not referred", "unscored": NOT_SCORED}


def label(name: str) -> str:
    """An event label or a stage as words: throat_clear becomes Throat clear."""
    return name.replace("_", " ").capitalize()


def heard_at(spans: Sequence[str], at_most: int = 6) -> str:
    """When a sound was heard, the first few times."""
    hidden = len(spans) - at_most
    return f"at {', '.join(spans[:at_most])}" + (f" and {hidden} more" if hidden > 0 else "")


def probe_words(probe: Mapping[str, Any]) -> str:
    """A probe's decision, its number with its unit where there is one, or both."""
    score = None if probe["score"] is None else f"{probe['score']:.2f} {probe['unit']}"
    if probe["decision"] is None:
        return score or NOT_SCORED
    return f"{DECISIONS[probe['decision']]} ({score})" if score else DECISIONS[probe["decision"]]


def quality_reason(reason: str) -> str:
    """The quality gate's reason in the gate's own sentence."""
    return REASON_SENTENCES[reason]


def cough_count(n_coughs: int) -> str:
    """The headline of a screening."""
    return {0: "No cough heard", 1: "1 cough"}.get(n_coughs, f"{n_coughs} coughs")


def gaps(n_gaps: int) -> str:
    """Said beside the result of a recording with gaps."""
    places = "one place" if n_gaps == 1 else f"{n_gaps} places"
    return f"The device was too slow in {places}, so sound is missing there. If you can, record again."


def gaps_so_far(n_gaps: int) -> str:
    """Said while recording, in place of the level."""
    return f"Sound lost in {n_gaps} place{'s' * (n_gaps != 1)}"


def more(n_hidden: int) -> str:
    """The last row of a list that is too long to show."""
    return f"and {n_hidden} more; the copied text has them all"


def no_such_file(path: Path) -> str:
    """Said when an address that was typed leads nowhere."""
    return f"There is no {path}."


def cannot_list(folder: Path, error: OSError) -> str:
    """Said when a folder may not be read."""
    return f"The folder {folder} cannot be opened: {error.strerror or error}."


def kept(path: Path) -> str:
    """Where a recording is, said where its screening failed."""
    return f"The recording: {path}"


def stalled(stall_s: float, kept_s: float) -> str:
    """Said when a microphone was unplugged, or taken by another app."""
    return f"The microphone delivered no sound for {stall_s:.0f} s; the {kept_s:.1f} s before were kept."


def cannot_write(path: Path, error: OSError) -> str:
    """Said when the disk is full or may not be written."""
    return f"The recording {path} cannot be written: {error.strerror or error}."


def no_model(reason: str) -> str:
    """Said when something is to be screened and the model did not load."""
    return f"Nothing can be screened, because the model did not load: {reason}"


def unexpected(error: Exception) -> str:
    """Said for a mistake of ours."""
    return f"Something went wrong inside Tussis ({type(error).__name__}: {error})."
