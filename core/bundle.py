"""Opens and checks bundles: a model, its settings and its probes, in one folder or file."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from core.audio import SAMPLE_RATE_HZ
from core.bundle_files import (
    BUNDLE_FILE,
    MAX_FILES,
    SIGNATURE_FILE,
    ArchiveFiles,
    BundleFiles,
    FolderFiles,
    clash,
    is_safe_path,
)
from core.clips import CLIP_S, CLIP_SAMPLES
from core.errors import BundleError, ProbeError
from core.interpreter import EMBEDDING_SIZE, SIGNATURE, ModelShape
from core.json_fields import Fields, parse_object, shorten
from core.probes import MAX_PROBE_BYTES, UNVERIFIED, Probe, parse_probes
from core.signing import ANYBODY, Signature, TrustPolicy, check_signature

FORMAT_VERSION = 1
DEFAULT_BUNDLE = Path(__file__).parent / "bundles" / "default"
COUGH = "cough"
MAX_JSON_BYTES, MAX_SIGNATURE_BYTES = 2**20, 2**10
MAX_PROBES = 16
MAX_WEIGHT = 100.0  # of a log odds


@dataclass(frozen=True)
class JointTrack:
    """A frame's log odds of a cough: its activity's and its surest clip's, each times a weight, and a bias."""

    activity: float
    cough: float
    bias: float


@dataclass(frozen=True)
class ScreeningSettings:
    """How a recording is cut and how the model's probabilities become events; times in seconds.

    ``cough_on_probability`` starts a cough and ``cough_off_probability`` ends it, on the activity track; a run longer
    than ``max_event_s`` is split. ``event_thresholds`` holds one probability per label, for the window as a whole. The
    activity track is *joint* with the clips' probabilities by ``joint_track``, or where that is None *gated* by the
    threshold of coughs (`core.events.ActivityTrack`).
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
    joint_track: JointTrack | None = None


@dataclass(frozen=True)
class Bundle:
    """A checked bundle; ``sha256`` is that of bundle.json, ``files`` the SHA-256 of every other file by its path.

    A probe that calls itself validated is *unverified* here, unless a trusted key signed the bundle.
    ``model_path`` says where the model lies, for sentences: in a .tussis file there is no such path to open.
    """

    path: Path
    name: str
    format_version: int
    created_utc: str
    sha256: str
    files: dict[str, str]
    signature: Signature
    model_path: Path
    model_sha256: str
    model_shape: ModelShape
    event_labels: tuple[str, ...]
    screening: ScreeningSettings
    probes: tuple[Probe, ...]
    provenance: dict[str, Any]

    def read_model(self) -> bytes:
        """The model file's content, checked once more against its SHA-256."""
        with open_files(self.path) as files:
            return files.read_checked(self.model_path.relative_to(self.path).as_posix(), self.model_sha256)

    def read_files(self) -> dict[str, bytes]:
        """Every file's content by its path, bundle.json and SIGNATURE too, checked once more against its SHA-256."""
        with open_files(self.path) as files:
            contents = {relative: files.read_checked(relative, sha256) for relative, sha256 in self.files.items()}
            contents[BUNDLE_FILE] = files.read_checked(BUNDLE_FILE, self.sha256)
            signature = _read_signature(files)
            return contents if signature is None else {**contents, SIGNATURE_FILE: signature}


def load_bundle(path: Path | None = None, trust: TrustPolicy = ANYBODY) -> Bundle:
    """Open a bundle and check all of it: first the signature where there is one, then every file's SHA-256.

    Every file listed in bundle.json must be there. A .tussis file may hold nothing else. In a folder, ``probes`` may
    hold nothing but listed ``NAME.json`` files: nobody vouched for an unlisted probe. Other unlisted files are never
    read.

    Parameters
    ----------
    path : Path or None
        The folder or the .tussis file; None for the bundle that comes with Tussis.
    trust : TrustPolicy
        Whose bundles are taken; by default anybody's, signed or not.

    Raises
    ------
    BundleError, ProbeError
        With a sentence that names the file that is missing, altered, unsafe, of a newer format or not signed as it
        should be.
    """
    path = Path(path or DEFAULT_BUNDLE)
    with open_files(path) as files:
        content = files.read(BUNDLE_FILE, MAX_JSON_BYTES)
        signature = check_signature(_read_signature(files), content, path, trust)
        fields = parse_object(content, str(path / BUNDLE_FILE), BundleError)
        _check_format_version(fields)
        hashes = _file_hashes(fields)
        model, labels = fields.object("model"), _event_labels(fields.object("model"))
        files.refuse_unlisted(hashes)
        for relative, sha256 in hashes.items():
            files.check(relative, sha256)
        return Bundle(
            path=path,
            name=fields.text("name", at_most=100),
            format_version=FORMAT_VERSION,
            created_utc=fields.text("created_utc", at_most=40),
            sha256=hashlib.sha256(content).hexdigest(),
            files=hashes,
            signature=signature,
            model_path=path / _model_file(model, hashes),
            model_sha256=model.sha256("sha256"),
            model_shape=_model_shape(model, len(labels)),
            event_labels=labels,
            screening=_screening_settings(fields.object("screening"), labels, model),
            probes=tuple(_believed(probe, signature) for probe in _probes(files, hashes, labels, model)),
            provenance=fields.object("provenance").values,
        )


def open_files(path: Path) -> BundleFiles:
    """The files of a bundle folder or a .tussis file; BundleError where `path` is neither."""
    try:
        if not path.exists():
            raise BundleError(f"{path}: there is no such bundle folder or .tussis file.")
        if path.is_dir():
            return FolderFiles(path)
        if not path.is_file():
            raise BundleError(f"{path} is neither a bundle folder nor a .tussis file.")
    except OSError as reason:
        raise BundleError(f"{path} cannot be opened: {reason.strerror}.") from reason
    return ArchiveFiles(path)


def _read_signature(files: BundleFiles) -> bytes | None:
    return files.read(SIGNATURE_FILE, MAX_SIGNATURE_BYTES) if files.holds(SIGNATURE_FILE) else None


def _check_format_version(fields: Fields) -> None:
    version = fields.values.get("format_version")
    if isinstance(version, int) and not isinstance(version, bool) and version > FORMAT_VERSION:
        remedy = f"this Tussis knows version {FORMAT_VERSION}; install a newer Tussis"
        raise BundleError(f"{fields.source} is of bundle format version {shorten(version)} and {remedy}.")
    fields.integer("format_version", FORMAT_VERSION, FORMAT_VERSION)


def _file_hashes(fields: Fields) -> dict[str, str]:
    files = fields.object("files")
    if len(files.values) > MAX_FILES:
        fields.refuse("files", f"an object of at most {MAX_FILES} files")
    for relative in files.values:
        if not is_safe_path(relative):
            expected = "expected a path inside the bundle, such as probes/tb.json"
            raise BundleError(f"{fields.source} lists the file {shorten(relative)}; {expected}.")
        files.sha256(relative)
    if two := clash(files.values):
        remedy = "which are one file on some systems"
        raise BundleError(f"{fields.source} lists {shorten(two[0])} beside {shorten(two[1])}, {remedy}.")
    return dict(files.values)


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
        joint_track=_joint_track(screening.object("joint_track")) if "joint_track" in screening.values else None,
    )


def _joint_track(track: Fields) -> JointTrack:
    return JointTrack(
        activity=track.number("activity", 0, MAX_WEIGHT),
        cough=track.number("cough", 0, MAX_WEIGHT),
        bias=track.number("bias", -MAX_WEIGHT, MAX_WEIGHT),
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


def _believed(probe: Probe, signature: Signature) -> Probe:
    is_claim = probe.status == "validated" and not signature.is_trusted
    return replace(probe, status=UNVERIFIED) if is_claim else probe


def _probes(files: BundleFiles, hashes: dict[str, str], labels: tuple[str, ...], model: Fields) -> tuple[Probe, ...]:
    """The heads of every probe file, those of a file in its own order."""
    probes, names = [], sorted(name for name in hashes if name.startswith("probes/"))
    if len(names) > MAX_PROBES:
        raise BundleError(f"{files.path} holds {len(names)} probes; expected at most {MAX_PROBES}.")
    for relative in names:
        source = str(files.path / relative)
        if len(PurePosixPath(relative).parts) != 2 or not relative.endswith(".json"):
            raise ProbeError(f"{source} is not a probe; the folder probes may hold NAME.json files only.")
        heads = parse_probes(files.read_checked(relative, hashes[relative], MAX_PROBE_BYTES), source)
        clips, theirs = heads[0].clips, heads[0].model_sha256
        if clips.event is not None and clips.event not in labels:
            raise ProbeError(f"{source} selects clips by {clips.event}; the model knows {', '.join(labels)}.")
        if theirs not in (None, model.sha256("sha256")):
            raise ProbeError(
                f"{source} was fitted on the embedding of model {theirs[:12]}; "
                f"the bundle's model is {model.sha256('sha256')[:12]}."
            )
        probes += heads
    return tuple(probes)
