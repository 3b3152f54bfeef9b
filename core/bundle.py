"""The only place where a bundle (a model, its settings and its probes in one folder) is opened and checked."""

import hashlib
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from core.audio import SAMPLE_RATE_HZ
from core.clips import CLIP_S, CLIP_SAMPLES
from core.errors import BundleError, ProbeError
from core.interpreter import EMBEDDING_SIZE, SIGNATURE, ModelShape
from core.json_fields import Fields, parse_object, shorten
from core.probes import Probe, parse_probe

FORMAT_VERSION = 1
DEFAULT_BUNDLE = Path(__file__).parent / "bundles" / "default"
BUNDLE_FILE = "bundle.json"
COUGH = "cough"
MAX_FILE_BYTES = 64 * 2**20
MAX_FILES = 1000


@dataclass(frozen=True)
class ScreeningSettings:
    """How a recording is cut and how the model's probabilities become events; times in seconds.

    ``cough_on_probability`` starts a cough and ``cough_off_probability`` ends it, on the activity track; a run longer
    than ``max_event_s`` is split. ``event_thresholds`` holds one probability per label, for the window as a whole.
    """

    hop_s: float
    event_pooling: str
    event_thresholds: dict[str, float]
    cough_on_probability: float
    cough_off_probability: float
    min_event_s: float
    max_event_s: float
    merge_gap_s: float
    activity_frame_step_s: float


@dataclass(frozen=True)
class Bundle:
    """A checked bundle; ``sha256`` is that of bundle.json, which holds the SHA-256 of every other file."""

    path: Path
    name: str
    format_version: int
    created_utc: str
    sha256: str
    model_path: Path
    model_sha256: str
    model_shape: ModelShape
    event_labels: tuple[str, ...]
    screening: ScreeningSettings
    probes: tuple[Probe, ...]
    provenance: dict[str, Any]

    def read_model(self) -> bytes:
        """The model file's content, checked once more against its SHA-256."""
        relative = self.model_path.relative_to(self.path).as_posix()
        return _read_checked(self.path, relative, self.model_sha256)


def load_bundle(path: Path | None = None) -> Bundle:
    """Open a bundle folder and check all of it.

    Every file listed in bundle.json must be there with its SHA-256. The folder ``probes`` may hold nothing but listed
    ``NAME.json`` files: an unlisted probe is one that nobody vouched for. Other unlisted files are never read.

    Parameters
    ----------
    path : Path or None
        The folder; None for the bundle that comes with Tussis.

    Raises
    ------
    BundleError, ProbeError
        With a sentence that names the file that is missing, altered, unsafe or of a newer format.
    """
    folder = Path(path or DEFAULT_BUNDLE)
    content = _read_bundle_file(folder)
    fields = parse_object(content, str(folder / BUNDLE_FILE), BundleError)
    _check_format_version(fields)
    hashes = _file_hashes(fields)
    model, labels = fields.object("model"), _event_labels(fields.object("model"))
    for relative, sha256 in hashes.items():
        _read_checked(folder, relative, sha256)
    _refuse_unlisted_probes(folder, hashes)
    return Bundle(
        path=folder,
        name=fields.text("name", at_most=100),
        format_version=FORMAT_VERSION,
        created_utc=fields.text("created_utc", at_most=40),
        sha256=hashlib.sha256(content).hexdigest(),
        model_path=folder / _model_file(model, hashes),
        model_sha256=model.sha256("sha256"),
        model_shape=_model_shape(model, len(labels)),
        event_labels=labels,
        screening=_screening_settings(fields.object("screening"), labels, model),
        probes=_probes(folder, hashes, labels),
        provenance=fields.object("provenance").values,
    )


def _read_bundle_file(folder: Path) -> bytes:
    try:
        if not folder.exists():
            raise BundleError(f"{folder}: there is no such bundle folder.")
        if not folder.is_dir():
            raise BundleError(f"{folder} is not a folder; expected a bundle folder that holds {BUNDLE_FILE}.")
    except OSError as reason:
        raise BundleError(f"{folder} cannot be opened: {reason.strerror}.") from reason
    return _read_inside(folder, BUNDLE_FILE)


def _check_format_version(fields: Fields) -> None:
    version = fields.values.get("format_version")
    if isinstance(version, int) and not isinstance(version, bool) and version > FORMAT_VERSION:
        knows = f"this Tussis knows version {FORMAT_VERSION}; install a newer Tussis"
        raise BundleError(f"{fields.source} is of bundle format version {shorten(version)} and {knows}.")
    fields.integer("format_version", FORMAT_VERSION, FORMAT_VERSION)


def _file_hashes(fields: Fields) -> dict[str, str]:
    files = fields.object("files")
    if len(files.values) > MAX_FILES:
        fields.refuse("files", f"an object of at most {MAX_FILES} files")
    for relative in files.values:
        if not is_safe_path(relative):
            inside = "expected a path inside the bundle, such as probes/tb.json"
            raise BundleError(f"{fields.source} lists the file {shorten(relative)}; {inside}.")
        files.sha256(relative)
    return dict(files.values)


def is_safe_path(relative: str) -> bool:
    """Whether a path from outside is plain: printable, relative, with /, without . or .. and without a drive."""
    parts = relative.split("/")
    is_plain = relative.isprintable() and "\\" not in relative and ":" not in relative
    return is_plain and len(relative) <= 200 and all(part not in ("", ".", "..") for part in parts)


def _read_checked(folder: Path, relative: str, sha256: str) -> bytes:
    content = _read_inside(folder, relative)
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        digests = f"its SHA-256 is {found[:12]}... and {BUNDLE_FILE} says {sha256[:12]}..."
        raise BundleError(f"{folder / relative} was altered: {digests}.")
    return content


def _read_inside(folder: Path, relative: str) -> bytes:
    path = folder / relative
    try:
        if not path.resolve().is_relative_to(folder.resolve()):
            raise BundleError(f"{path} leads out of the bundle through a link.")
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise BundleError(f"{path} is not a regular file.")
        if status.st_size > MAX_FILE_BYTES:
            raise BundleError(f"{path} has {status.st_size} bytes; expected at most {MAX_FILE_BYTES}.")
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES)
    except FileNotFoundError as reason:
        raise BundleError(f"{path} is missing.") from reason
    except (OSError, RuntimeError, ValueError) as reason:
        raise BundleError(f"{path} cannot be read: {reason}.") from reason


def _refuse_unlisted_probes(folder: Path, hashes: dict[str, str]) -> None:
    try:
        found = sorted(path.name for path in (folder / "probes").iterdir()) if (folder / "probes").exists() else []
    except OSError as reason:
        raise BundleError(f"{folder / 'probes'} cannot be read: {reason.strerror}.") from reason
    for name in found:
        if f"probes/{name}" not in hashes:
            raise BundleError(f"{folder / 'probes' / name} is not listed in {BUNDLE_FILE}.")


def _event_labels(model: Fields) -> tuple[str, ...]:
    labels = model.values.get("event_labels")
    if not isinstance(labels, list) or not 1 <= len(labels) <= 100:
        model.refuse("event_labels", "a list of 1 to 100 labels")
    for label in labels:
        if not (isinstance(label, str) and 0 < len(label) <= 40 and label.isprintable()):
            raise BundleError(f'{model.source}: "model.event_labels" holds {shorten(label)}; expected a short word.')
    if COUGH not in labels or len(set(labels)) != len(labels):
        model.refuse("event_labels", f'different labels with "{COUGH}" among them')
    return tuple(labels)


def _model_file(model: Fields, hashes: dict[str, str]) -> str:
    relative = model.text("file")
    if relative not in hashes:
        model.refuse("file", 'one of the paths in "files"')
    if model.sha256("sha256") != hashes[relative]:
        model.refuse("sha256", f'the same as in "files" for {relative}')
    return relative


def _model_shape(model: Fields, n_events: int) -> ModelShape:
    model.one_of("signature", (SIGNATURE,))
    model.integer("sample_rate_hz", SAMPLE_RATE_HZ, SAMPLE_RATE_HZ)
    return ModelShape(
        clip_samples=model.integer("clip_samples", CLIP_SAMPLES, CLIP_SAMPLES),
        embedding_size=model.integer("embedding_size", EMBEDDING_SIZE, EMBEDDING_SIZE),
        n_events=n_events,
        n_activity_frames=model.integer("n_activity_frames", 1, CLIP_SAMPLES),
    )


def _screening_settings(screening: Fields, labels: tuple[str, ...], model: Fields) -> ScreeningSettings:
    step_s = CLIP_S / model.integer("n_activity_frames", 1, CLIP_SAMPLES)
    if abs(model.number("activity_frame_step_s", 0, CLIP_S, "s") - step_s) > 1e-6:
        model.refuse("activity_frame_step_s", f"{step_s:g} s, the clip's {CLIP_S:g} s over n_activity_frames")
    on_probability = screening.number("cough_on_probability", 0, 1)
    max_event_s = screening.number("max_event_s", step_s, 60, "s")
    return ScreeningSettings(
        hop_s=_hop_s(screening, step_s),
        event_pooling=screening.one_of("event_pooling", ("max",)),
        event_thresholds=_event_thresholds(screening.object("event_thresholds"), labels),
        cough_on_probability=on_probability,
        cough_off_probability=screening.number("cough_off_probability", 0, on_probability),
        min_event_s=screening.number("min_event_s", 0, max_event_s, "s"),
        max_event_s=max_event_s,
        merge_gap_s=screening.number("merge_gap_s", 0, 60, "s"),
        activity_frame_step_s=step_s,
    )


def _hop_s(screening: Fields, step_s: float) -> float:
    hop_s = screening.number("hop_s", step_s, CLIP_S, "s")
    if abs(hop_s / step_s - round(hop_s / step_s)) > 1e-6:
        screening.refuse("hop_s", f"a multiple of the activity frame step of {step_s:g} s")
    return hop_s


def _event_thresholds(thresholds: Fields, labels: tuple[str, ...]) -> dict[str, float]:
    for label in thresholds.values:
        if label not in labels:
            raise BundleError(
                f"{thresholds.source}: there is a threshold for {shorten(label)}, which is no event label."
            )
    return {label: thresholds.number(label, 0, 1) for label in labels}


def _probes(folder: Path, hashes: dict[str, str], labels: tuple[str, ...]) -> tuple[Probe, ...]:
    probes = []
    for relative in sorted(name for name in hashes if name.startswith("probes/")):
        source = str(folder / relative)
        if len(PurePosixPath(relative).parts) != 2 or not relative.endswith(".json"):
            raise ProbeError(f"{source} is not a probe; the folder probes may hold NAME.json files only.")
        probe = parse_probe(_read_checked(folder, relative, hashes[relative]), source)
        if probe.clips.event is not None and probe.clips.event not in labels:
            raise ProbeError(f"{source} selects clips by {probe.clips.event}; the model knows {', '.join(labels)}.")
        probes.append(probe)
    return tuple(probes)
