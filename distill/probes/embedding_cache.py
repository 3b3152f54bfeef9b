"""Keeps recordings' embeddings on disk, by the hashes of the sound file, the model and the code that hears."""

import hashlib
from functools import lru_cache
from pathlib import Path

import core
from core.errors import DataError, OutputError, report
from core.files import make_folder, sha256_of_file
from distill.probes.embed import (
    COMMAND,
    EmbeddedRecording,
    EmbeddingModel,
    embed_recording,
    read_embeddings,
    write_embeddings,
)

DEFAULT_FOLDER = Path("cache") / "embeddings"


class EmbeddingCache:
    """`embed_recording` that keeps what it did in a folder; without a folder nothing is kept.

    Each recording has a file of its own, written whole or not at all, so that a run that was killed goes on where it
    was. A damaged file is made anew. Where the folder cannot be written the work goes on, and a line on stderr says so.
    """

    def __init__(self, folder: Path | None, model: EmbeddingModel) -> None:
        self._model, self._folder = model, None
        if folder is not None:
            self._folder = folder / f"{model.sha256[:16]}-{model.hop_s:g}-{_code_sha256()[:8]}"

    def embed(self, path: Path, sha256: str | None = None) -> EmbeddedRecording:
        """Embed a recording, or take what is kept of the same sound file; `sha256` is its, where known."""
        if self._folder is None:
            return embed_recording(path, self._model)
        sha256 = sha256 or sha256_of_file(path)
        kept = self._folder / sha256[:2] / f"{sha256}.npz"
        if kept.exists():
            try:
                return read_embeddings(kept, self._model.sha256)[sha256]
            except (DataError, KeyError):
                kept.unlink(missing_ok=True)
        embedded = embed_recording(path, self._model)
        self._keep(kept, embedded)
        return embedded

    def _keep(self, path: Path, embedded: EmbeddedRecording) -> None:
        try:
            make_folder(path.parent)
            write_embeddings(path, [embedded], self._model.sha256, self._model.event_labels)
        except (OutputError, OSError) as error:
            report(COMMAND, f"{error} Embeddings are not kept.")
            self._folder = None


@lru_cache(maxsize=1)
def _code_sha256() -> str:
    """SHA-256 of the phone's code: other code may hear another embedding in the same sound."""
    digest = hashlib.sha256()
    for path in sorted(Path(core.__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
