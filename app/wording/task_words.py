"""Puts the codes of a recording and of its result into words: cues, advice, verdicts, faults and reasons."""

from collections.abc import Callable, Mapping

from app.words import _
from core.probes import FAR_REASON, NOT_GIVEN, TOO_CLOSE_REASON

Say = Callable[[], str]

QUALITY_HEADINGS: Mapping[str, Say] = {
    "good": lambda: _("Recording quality: good"),
    "poor": lambda: _("Recording quality: poor"),
    "could_not_be_judged": lambda: _("Recording quality: could not be judged"),
}
STATUSES: Mapping[str, Say] = {
    "validated": lambda: _("VALIDATED"),
    "unverified": lambda: _("NOT VERIFIED: no trusted key signed it"),
    "research": lambda: _("RESEARCH ONLY"),
    "demonstration": lambda: _("DEMONSTRATION"),
}
DECISIONS: Mapping[str, Say] = {
    "refer": lambda: _("Refer"),
    "not referred": lambda: _("Not referred"),
    "unscored": lambda: _("Not scored"),
}
"""What becomes of each decision of a probe; *not scored* is never a negative."""
GATE_REASONS: Mapping[str, Say] = {
    "too_short": lambda: _("The recording is too short."),
    "silent": lambda: _("The recording is silent. Check that nothing covers the microphone."),
    "clipped": lambda: _("The recording is overdriven throughout. Record again further from the microphone."),
    "hum": lambda: _("Hum covers the recording. Move away from mains cables and record again."),
    "truncated": lambda: _("The recording is cut short or damaged. What is there was scored."),
    "partly_dead": lambda: _("Nothing reached the microphone for part of the recording."),
}
REASONS: Mapping[str, Say] = {
    **GATE_REASONS,
    "too_noisy": lambda: _("It is too noisy here. Go to a quieter place and record again."),
    "nothing_stood_out": lambda: _("Nothing stood out from the noise. Come closer and record again."),
    "too_few_coughs": lambda: _("Fewer coughs were heard than wanted."),
    "too_quiet": lambda: _("The sound is too quiet. Hold the phone closer."),
    "too_loud": lambda: _("The sound is too loud. Hold the phone further away."),
    "speech": lambda: _("Somebody was speaking. Ask for silence and record again."),
    "not_screened": lambda: _("The recording could not be screened."),
    "gaps": lambda: _("Some sound was lost on the way."),
}
FAULTS: Mapping[str, Say] = {
    "microphone_missing": lambda: _("No microphone was found. Connect one, then go on."),
    "microphone_refused": lambda: _("The microphone is in use elsewhere or not allowed. Allow it, then go on."),
    "microphone_unplugged": lambda: _("The microphone was unplugged. Connect it again, then go on."),
    "microphone_no_sound": lambda: _("The microphone sends nothing any more. Go on to start it anew."),
    "microphone_silent": lambda: _("The microphone sends only silence. Uncover or unmute it, then go on."),
    "microphone_no_numbers": lambda: _("The microphone sends damaged sound. Go on to start it anew."),
    "microphone_other_rate": lambda: _("The microphone has a sample rate that cannot be used. Connect another one."),
    "microphone_hung": lambda: _("The microphone does not answer. Go on to start it anew."),
    "microphone_no_library": lambda: _("This device lacks the software for recording."),
    "disk_full": lambda: _("The device is full. What was recorded is kept; make room before the next recording."),
    "not_screened": lambda: _("There is no model: coughs are not counted."),
    "not_stored": lambda: _("The recording cannot be stored. What was recorded before is kept."),
}
"""What happened to the microphone or the disk."""
LABELS: Mapping[str, Say] = {
    "cough": lambda: _("Cough"),
    "snore": lambda: _("Snore"),
    "breathing": lambda: _("Breathing"),
    "sneeze": lambda: _("Sneeze"),
    "throat_clear": lambda: _("Throat clearing"),
    "laugh": lambda: _("Laugh"),
    "speech": lambda: _("Speech"),
    "cry": lambda: _("Cry"),
}


def reason_words(code: str) -> str:
    """Why a recording is poor or could not be judged, as a sentence."""
    return REASONS[code]()


def quality_words(code: str) -> str:
    """What the quality gate of `core.quality` found, as a sentence."""
    return GATE_REASONS[code]()


def label_words(label: str) -> str:
    """An event label of a bundle in words; a label that this application does not know stays English."""
    return LABELS[label]() if label in LABELS else label.replace("_", " ").capitalize()


def stage_words(stage: str) -> str:
    """A stage of the screening, which engineers know by its English name."""
    return stage.replace("_", " ").capitalize()


def unscored_words(reason: str) -> str:
    """Why a probe gave no score, from the reason of `core.probes`, which is English."""
    if reason == TOO_CLOSE_REASON:
        return _("The score lies too close to the limit between the two decisions.")
    if reason.startswith(FAR_REASON):
        return _("The sound is unlike the recordings that the probe was made with.")
    if reason.endswith(NOT_GIVEN):
        return _("The probe needs facts about the person that it was not given.")
    return _("Too little was heard clearly enough.")


CUES: Mapping[str, tuple[str, Say]] = {
    "room_noise": ("quiet", lambda: _("Keep silent")),
    "coughs": ("cough", lambda: _("Cough now")),
    "forced_breaths": ("blow", lambda: _("Breathe in, blow out hard")),
}
"""By the kind of a task, the shape of its cue and its words."""
ADVICE: Mapping[str, tuple[str, str, Say]] = {
    "get_ready": ("clock", "note", lambda: _("Wait until the sound arrives")),
    "closer": ("alert", "warning", lambda: _("Closer: hold the phone nearer to the mouth")),
    "too_loud": ("alert", "warning", lambda: _("Too loud: hold the phone further away")),
    "too_noisy": ("alert", "warning", lambda: _("Too noisy: go to a quieter place")),
    "speech": ("alert", "warning", lambda: _("Somebody is speaking: ask for silence")),
    "good": ("check", "good", lambda: _("Good: go on like this")),
}
"""By the code of an advice, its picture, the kind of its colours, and its words."""
KEEP_REASONS: Mapping[str, Say] = {
    "unable": lambda: _("The participant cannot do it better"),
    "unwilling": lambda: _("The participant does not want to go on"),
    "noise": lambda: _("There is no quieter place"),
    "phone": lambda: _("The phone or its microphone gives trouble"),
}
"""Why a poor recording is kept, by the code that is kept with it."""


def keep_reason_words(reason: str) -> str:
    """Why a recording was kept, in words."""
    return KEEP_REASONS[reason]() if reason in KEEP_REASONS else reason


def fault_words(code: str) -> str:
    """What happened to the microphone or the disk, as a sentence with what to do."""
    return FAULTS[code]()
