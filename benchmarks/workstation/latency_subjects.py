"""The only place that says what the latency benchmark measures side by side: students, their parts, and peers."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.timing.interleaved import Contender
from benchmarks.timing.models import load_parts, load_student_model
from benchmarks.timing.peers import load_detectors, load_peer, load_yamnet
from benchmarks.timing.screening import ScreeningContender, load_screening
from core.bundle import Bundle
from core.errors import InterpreterError


@dataclass(frozen=True)
class Subjects:
    """What to load: the bundle's model and ``models`` in its place, peers, and the recording that is screened.

    ``yamnet`` is None where it is left out; ``peer_s`` is the audio that a run of a peer by file stands for, where its
    input does not say.
    """

    bundle: Bundle
    models: tuple[Path, ...]
    yamnet: Path | None
    peers: tuple[Path, ...]
    peer_s: float | None
    has_detector: bool
    recording: Path

    def students(self) -> list[tuple[Path, str]]:
        """File and name of each student, the bundle's first."""
        return [(self.bundle.model_path, self.bundle.name), *((path, path.name) for path in self.models)]


@dataclass(frozen=True)
class Loaded:
    """All that is timed in turns; ``screenings`` are among ``contenders`` too."""

    contenders: list[Contender]
    screenings: list[ScreeningContender]


def load_subjects(subjects: Subjects, threads: int, delegates: list[str], note: Callable[[str], None]) -> Loaded:
    """Load everything once for each delegate; `note` takes a sentence where a model cannot be cut into parts."""
    loaded = Loaded([], [])
    for delegate in delegates:
        for path, name in subjects.students():
            screening = load_screening(subjects.bundle, path, subjects.recording, threads, name, delegate)
            loaded.screenings.append(screening)
            loaded.contenders.append(screening.contender)
            loaded.contenders.append(load_student_model(path, threads, name, delegate, subjects.bundle.model_shape))
            loaded.contenders.extend(_parts(path, threads, name, delegate, note))
        loaded.contenders.extend(_peers(subjects, threads, delegate))
    onnx = [path for path in subjects.peers if path.suffix == ".onnx"]
    loaded.contenders.extend(load_peer(path, threads, subjects.peer_s) for path in onnx)
    return loaded


def _parts(path: Path, threads: int, name: str, delegate: str, note: Callable[[str], None]) -> list[Contender]:
    try:
        return load_parts(path, threads, name, delegate)
    except InterpreterError as reason:
        note(f"Front end, body and heads are not told apart: {reason}")
        return []


def _peers(subjects: Subjects, threads: int, delegate: str) -> list[Contender]:
    """The peers that LiteRT runs, with one delegate."""
    peers = [] if subjects.yamnet is None else [load_yamnet(subjects.yamnet, threads, delegate)]
    peers += load_detectors(threads, delegate) if subjects.has_detector else []
    files = [path for path in subjects.peers if path.suffix != ".onnx"]
    return peers + [load_peer(path, threads, subjects.peer_s, delegate) for path in files]
