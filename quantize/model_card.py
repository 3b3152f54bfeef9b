"""Writes the model card: what a bundle is, what it learnt from, what was measured and what it cannot do."""

from dataclasses import replace
from typing import Any

from core.probes import Probe
from distill.corpus.labels import EVENT_LABELS
from distill.shown_text import escape_markdown, escaped
from quantize.agreement import Agreement
from quantize.bundle_parts import BundleParts

TAUGHT_BY_LABELS = "people's labels, and {} where nobody labelled"
TAUGHT_BY_LABELS_ONLY = "people's labels only"
TAUGHT_BY_TEACHER = "{} only: no training recording was labelled with it"
NOT_TAUGHT = "nothing: no training recording was labelled with it, and there were no scores of a teacher"
EVENT_TARGETS, EMBEDDING_TARGETS = "events.npz", "embeddings.npz"
NON_COMMERCIAL_NOTE = """
Some packs are licensed for non-commercial use only: whoever uses these weights commercially has to judge whether that
reaches weights trained on them."""
INTENDED_USE = """## Intended use

Detecting and counting coughs, and hearing the other events above, in recordings of a phone's or computer's
microphone; computing an embedding for research probes; measuring latency.

**Out of scope.** This is not a medical device and was not evaluated as one. An event score is not a risk of any
disease. No decision about a person's care may rest on it. It was not made to monitor people without their consent.
"""
NOT_EVALUATED = (
    "any phone's microphone, processor or operating system",
    "any clinical use; how scores differ by disease, age, sex or language",
    "people with tuberculosis, or who blow into a spirometer: no recording of either was to be had",
    "coughs as an illness makes them: those that were heard were acted, or coughed on request",
    "children: few, and nearly all of them crying infants",
    "days of wear: everything above is from recordings of seconds, and false coughs per hour from composed ones",
    "how much of the score is due to band, codec and microphone, which are tied to class in several packs",
)
LIMITS = """## Limits

- Labels are per recording, not per cough. Cough times for training were derived from loudness.
- Where band, codec and microphone are tied to class, training re-coded and filtered at random against it.
- Nothing was trained on a diagnosis or on a spirometer's reading.
"""
PACK_LIMITS = {
    "coswara": "People who volunteered on the web; the day that was taken has healthy people only.",
    "covid19_cough": "People who volunteered on the web; nobody checked what they said of themselves.",
    "custom_keywords": "A call centre: the band of a telephone line.",
    "emogator": "Acted vocal bursts, not spontaneous ones.",
    "sfx_cc": "A sound archive: sounds chosen for being typical.",
}
PROBE_NOTE = {
    "demonstration": "a demonstration fitted on synthetic sound; it never gives a score or says anything of a person",
    "research": "for research; not validated on an external cohort",
    "validated": "validated on the external cohort that its file names",
}


def render_model_card(fields: dict[str, Any], parts: BundleParts) -> str:
    """Write the card as Markdown; a pure function of bundle.json's content and the parts, whose texts are only text."""
    fields, parts = escaped(fields), _escaped_parts(parts)
    sections = [
        _header(fields, parts),
        _events(parts),
        INTENDED_USE,
        _packs(fields["provenance"]["packs"]),
        _evaluation(parts.evaluation),
        _agreement(parts.agreement),
        _cough_events(parts.thresholds),
        probes_section(parts.parsed_probes),
        _not_evaluated(fields, parts),
        _limits(fields["provenance"]["packs"]),
        _origin(fields),
    ]
    return "\n".join(section.rstrip() + "\n" for section in sections if section)


def _escaped_parts(parts: BundleParts) -> BundleParts:
    """The parts with every text that the card shows escaped; probes and agreement are escaped where they are shown."""
    return replace(
        parts,
        checkpoint=replace(parts.checkpoint, provenance=escaped(parts.checkpoint.provenance)),
        thresholds=escaped(parts.thresholds),
        evaluation=escaped(parts.evaluation),
    )


def _header(fields: dict[str, Any], parts: BundleParts) -> str:
    model = fields["model"]
    step = f"{1000 * model['activity_frame_step_s']:g} ms"
    file = f"`{model['file']}`, {len(parts.int8_model) / 1e6:.2f} MB, TFLite with built-in operators only"
    others = len(model["event_labels"]) - 1
    return f"""# Model card: {fields["name"]}

A small convolution net that hears coughs and {others} other events in 2 s of sound and gives an embedding, distilled
from larger models and quantized to 8 bits. Made {fields["created_utc"]}. **Not a medical device.**

| | |
|---|---|
| input | `waveform` (1, {model["clip_samples"]}), float32 in [-1, 1], {model["sample_rate_hz"]} Hz, one channel |
| output | `embedding` (1, {model["embedding_size"]}) |
| output | `event_logits` (1, {len(model["event_labels"])}): {", ".join(model["event_labels"])} |
| output | `activity_logits` (1, {model["n_activity_frames"]}): cough in each {step} |
| file | {file}, signature `{model["signature"]}` |
"""


def _events(parts: BundleParts) -> str:
    thresholds, (teachers, embedding) = parts.thresholds, _teachers(parts.checkpoint.provenance)
    counts = thresholds.get("n_training_recordings", {})
    columns = "| event | learnt from | labelled training recordings | threshold | chosen on |\n|---|---|---|---|---|"
    lines = ["## How it learnt", "", columns]
    for event in EVENT_LABELS:
        count, threshold = counts.get(event), thresholds["screening"]["event_thresholds"][event]
        taught = "not counted" if count is None else _taught(bool(count), teachers)
        chosen = _chosen_on(thresholds["events"].get(event))
        lines.append(f"| {event} | {taught} | {'' if count is None else count} | {threshold:g} | {chosen} |")
    lines += ["", f"Thresholds: {thresholds['rule']}.", "", "Activity: coughs mixed into other sound at known times."]
    if "event_layer_from_sha256" in parts.checkpoint.provenance:
        least = parts.checkpoint.settings["event_layer"]["min_recordings"]
        lines.append(
            f"Event layer: fitted last to the recordings alone, for events that at least {least} of them hold."
        )
    return "\n".join([*lines, embedding])


def _teachers(provenance: dict[str, Any]) -> tuple[str, str]:
    """Whose scores taught the events, and a sentence on the embedding; each empty where there was no teacher."""
    teacher = provenance.get("teacher")
    if "mixtures" in provenance:
        return "YAMNet's and mn04_as's scores", f"Embedding: theirs on the mixtures, `{teacher}`."
    targets = provenance.get("targets_sha256", {EVENT_TARGETS: ""})
    whose = f"the teacher `{teacher}`" if teacher else "a teacher"
    return "YAMNet's scores" if EVENT_TARGETS in targets else "", (
        f"Embedding: that of {whose}, by the targets `{targets[EMBEDDING_TARGETS][:16]}`."
        if EMBEDDING_TARGETS in targets
        else ""
    )


def _taught(by_people: bool, teachers: str) -> str:
    if by_people:
        return TAUGHT_BY_LABELS.format(teachers) if teachers else TAUGHT_BY_LABELS_ONLY
    return TAUGHT_BY_TEACHER.format(teachers) if teachers else NOT_TAUGHT


def _chosen_on(point: dict[str, Any] | None) -> str:
    if point is None:
        return "nothing"
    if "n_positive" not in point:
        return f"nothing: {point['reason']}"
    return f"{point['n_positive']} with and {point['n_negative']} without it, validation"


def _packs(packs: list[dict[str, Any]]) -> str:
    if not packs:
        return "## Training data\n\nThe checkpoint does not say which packs it was trained on.\n"
    lines = ["## Training data", "", "| pack | recordings | hours | licences | mind |", "|---|---|---|---|---|"]
    for pack in packs:
        licences = ", ".join(pack["licences"])
        lines.append(
            f"| {pack['name']} | {pack['recordings']} | {pack['hours']:.2f} | {licences} | {_caution(licences)} |"
        )
    note = "\nThe test pack esc50_part was not trained, tuned, selected or calibrated on."
    if any(_caution(", ".join(pack["licences"])).startswith("non-commercial") for pack in packs):
        note += NON_COMMERCIAL_NOTE
    return "\n".join([*lines, note])


def _caution(licences: str) -> str:
    names = licences.upper()
    if "BY-NC" in names:
        return "non-commercial"
    if "BY-SA" in names or "ODBL" in names:
        return "share-alike"
    return "attribution" if "BY" in names or "APACHE" in names else ""


def _evaluation(evaluation: dict[str, Any] | None) -> str:
    if evaluation is None:
        return "## Measured on unseen recordings\n\nNot evaluated when this bundle was built.\n"
    lines = [
        f"## Measured on unseen recordings: {evaluation['pack']}",
        "",
        f"Through `tussis-evaluate`, {evaluation['n']} recordings of {evaluation['n_subjects']} sources, "
        f"{evaluation['n_unscored']} of them unscored by the quality gate; intervals are 95 % over sources.",
        "",
        "| event | positives | AUROC, unscored ranked lowest | AUROC, scored only |",
        "|---|---|---|---|",
    ]
    for event, scores in evaluation["labels"].items():
        aurocs = [_estimate(scores[key]) for key in ("auroc_unscored_lowest", "auroc_scored_only")]
        lines.append(f"| {event} | {scores['n_positive']} of {scores['n']} | {aurocs[0]} | {aurocs[1]} |")
    rates = [_rate(evaluation[key]) for key in ("cough_sensitivity", "cough_false_alarm_rate")]
    lines += ["", f"Cough at the shipped threshold: sensitivity {rates[0]}, false alarms {rates[1]}."]
    classes = evaluation.get("false_alarms_by_class", {})
    if alarms := [
        f"{name} {counts['n_false_alarms']} of {counts['n']}"
        for name, counts in classes.items()
        if counts["n_false_alarms"]
    ]:
        lines.append(f"False alarms by what it was instead: {', '.join(alarms)}.")
    beside = evaluation.get("float_model")
    if beside and beside["cough_auroc_loss"] is not None:
        lines.append(
            f"Cough AUROC of the float model there: {_estimate(beside['cough_auroc'])}; int8 loses "
            f"{100 * beside['cough_auroc_loss']:.2f} points."
        )
    if evaluation["labels_absent"]:
        lines.append(f"Not in this pack, so not measured: {', '.join(evaluation['labels_absent'])}.")
    return "\n".join(lines)


def _estimate(estimate: dict[str, Any] | None) -> str:
    if estimate is None:
        return "-"
    interval = "" if estimate["low"] is None else f" ({estimate['low']:.4f} to {estimate['high']:.4f})"
    return f"{estimate['value']:.4f}{interval}"


def _rate(estimate: dict[str, Any] | None) -> str:
    return "-" if estimate is None else f"{_estimate(estimate)} of {estimate['n']} recordings"


def _agreement(agreement: Agreement) -> str:
    cosine, recipe = agreement.embedding_cosine, agreement.recipe
    limits = recipe["limits"]["min_embedding_cosine_median"], recipe["limits"]["min_embedding_cosine_p1"]
    lines = [
        "## Int8 against float",
        "",
        f"On {agreement.n_clips} clips of {agreement.n_recordings} validation recordings; recipe "
        f"`{escape_markdown(recipe['name'])}`, calibrated on {agreement.calibration.n_clips} training clips.",
        "",
        f"Embedding cosine: median {cosine.median:.5f}, 1st percentile {cosine.p1:.5f}, "
        f"lowest {cosine.min:.5f} (limits {limits[0]:g} and {limits[1]:g}). "
        f"Activity frames whose decision at 0.5 flips: {100 * agreement.activity.decision_flips:.2f} %.",
        "",
        "| event | recordings with it | AUROC torch | AUROC float | AUROC int8 | decisions at 0.5 that flip |",
        "|---|---|---|---|---|---|",
    ]
    for event, drift in agreement.events.items():
        aurocs = [f"{drift.auroc[name]:.4f}" if drift.auroc else "-" for name in ("torch", "float", "int8")]
        known = f"{drift.auroc['n_positive']} of {_n_known(drift.auroc)}" if drift.auroc else "too few"
        name = escape_markdown(event)
        lines.append(f"| {name} | {known} | {' | '.join(aurocs)} | {100 * drift.decision_flips:.2f} % |")
    lines += ["", *_further_agreement(agreement)]
    sizes = [model.bytes / 1e6 for model in (agreement.float_model, agreement.int8_model)]
    return "\n".join([*lines, f"Size: float {sizes[0]:.2f} MB, int8 {sizes[1]:.2f} MB."])


def _further_agreement(agreement: Agreement) -> list[str]:
    """Coughs at known times; layers left in float and the student before it was tuned, where there are any."""
    composed = agreement.composed
    pairs = [f"{f1['float']:.3f} and {f1['int8']:.3f}" for f1 in (composed.frame_f1, composed.event_f1)]
    where = f"{composed.n_coughs} coughs in {composed.n_recordings} composed recordings"
    lines = [f"F1, float and int8, on {where}: of frames {pairs[0]}, of counted coughs {pairs[1]}."]
    if layers := agreement.fallback.layers:
        lines.append(f"Layers left in float: {', '.join(map(escape_markdown, layers))}.")
    if before := agreement.reference:
        cosine = before.embedding_cosine.median
        lines.append(f"To the student before it was tuned for int8: median embedding cosine {cosine:.5f}.")
    return lines


def _n_known(auroc: dict[str, float | int]) -> float | int:
    return auroc["n_positive"] + auroc["n_negative"]


def _cough_events(thresholds: dict[str, Any]) -> str:
    reached = thresholds.get("cough_events")
    if reached is None:
        return ""
    on, off = (thresholds["screening"][f"cough_{end}_probability"] for end in ("on", "off"))
    is_joint = "joint_track" in thresholds["screening"]
    track = "an activity joined with the clip's probability" if is_joint else "an activity"
    false_alarms = reached["false_positives_per_hour"]
    f1, sensitivity = ("-" if reached[key] is None else f"{reached[key]:.3f}" for key in ("f1", "sensitivity"))
    cough_free = ""
    if "cough_free_hours" in reached:
        hours, false_per_hour = reached["cough_free_hours"], reached["cough_free_false_per_hour"]
        cough_free = f"\nIn {hours:g} h composed of sound without a cough, {false_per_hour:.1f} are counted an hour."
    return f"""## Counting coughs

A cough begins at {track} of {on:g} and ends below {off:g}. Both were chosen on {reached["n_coughs"]} coughs in
{reached["recordings"]}, where they reach F1 {f1}, sensitivity {sensitivity}
and {false_alarms:.1f} false coughs per hour (start and end tolerance 0.25 s). Chosen and measured on
the same recordings, these numbers are optimistic; they have no interval.{cough_free}
"""


def probes_section(probes: tuple[Probe, ...]) -> str:
    """What the card says of probes, empty where there are none."""
    if not probes:
        return ""
    lines = ["## Probes", ""]
    for probe in probes:
        lines.append(f"- **{escape_markdown(probe.title)}** (`{probe.name}`): {PROBE_NOTE[probe.status]}.")
        lines.append(f"  Intended use: {escape_markdown(probe.intended_use)}")
        notes, metrics = escaped(probe.training), escaped(probe.metrics)
        counts = [f"{notes[key]} {key[2:]}" for key in ("n_subjects", "n_recordings") if key in notes]
        if counts:
            lines.append(f"  Fitted on {' and '.join(counts).replace('_', ' ')}.")
        auroc = metrics.get("auroc")
        if probe.status != "demonstration" and isinstance(auroc, dict):
            lines.append(f"  AUROC {_estimate(auroc)} over {auroc['n']}; {metrics.get('how', 'how is not said')}.")
    return "\n".join(lines)


def _not_evaluated(fields: dict[str, Any], parts: BundleParts) -> str:
    measured = set() if parts.evaluation is None else set(parts.evaluation["labels"])
    compared = {event for event, drift in parts.agreement.events.items() if drift.auroc}
    unmeasured = [event for event in fields["model"]["event_labels"] if event not in measured]
    uncompared = [event for event in fields["model"]["event_labels"] if event not in compared]
    lines = ["## Not evaluated", ""]
    if unmeasured:
        lines.append(f"- on unseen recordings: {', '.join(unmeasured)}")
    if uncompared:
        lines.append(f"- AUROC of int8 against float, for want of validation recordings: {', '.join(uncompared)}")
    lines += [f"- the probe {probe.name} on people" for probe in parts.parsed_probes if probe.status == "demonstration"]
    return "\n".join([*lines, *(f"- {what}" for what in NOT_EVALUATED)])


def _limits(packs: list[dict[str, Any]]) -> str:
    names = [pack["name"] for pack in packs]
    known = [(name, limit) for name in names for key, limit in PACK_LIMITS.items() if name.startswith(key)]
    return LIMITS + "".join(f"- {name}: {limit}\n" for name, limit in known)


def _origin(fields: dict[str, Any]) -> str:
    origin = fields["provenance"]
    tools = ", ".join(f"{tool} {version}" for tool, version in origin["tools"].items())
    return f"""## Origin

| | |
|---|---|
| student checkpoint | `{origin["student"]["checkpoint_sha256"]}` |
| trained at commit | `{origin["student"]["training"].get("commit", "unknown")}`, {origin["student"]["steps"]} steps |
| float model | `{origin["float_model_sha256"]}` |
| int8 model | `{fields["model"]["sha256"]}` |
| packaged at commit | `{origin["commit"]}` |
| tools | {tools} |

The resolved settings of training and quantization are in `bundle.json` under `provenance`. Code: Apache-2.0.
"""
