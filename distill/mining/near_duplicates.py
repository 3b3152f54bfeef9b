"""The only place that decides whether a clip is one that a mined pack already has."""

import numpy as np

from core.interpreter import EMBEDDING_SIZE

MIN_KEPT = 2  # before, there is no centre to speak of


class NearDuplicates:
    """Compares each clip with those kept before it, in constant memory but for 100 bytes per kept clip.

    A clip is a duplicate if its samples are those of any kept clip, or if its embedding and that of one of the
    newest `n_compared` kept clips, both less the mean embedding of all kept clips, have a cosine above `cosine`.
    Without that centring the cosines of unlike sounds crowd near 1. What was kept first stays.

    Parameters
    ----------
    cosine : float in (0, 1)
    n_compared : int
        2 KiB each, and about 1 us of time for each clip that is asked about.
    """

    def __init__(self, cosine: float, n_compared: int) -> None:
        self._cosine = cosine
        self._newest = np.zeros((n_compared, EMBEDDING_SIZE), np.float32)
        self._sum = np.zeros(EMBEDDING_SIZE)
        self._n_kept = 0
        self._digests: set[str] = set()

    def has(self, samples_sha256: str, embedding: np.ndarray) -> bool:
        """Whether a clip with these samples and this embedding, shape (512,), is a duplicate of a kept one."""
        if samples_sha256[:16] in self._digests:
            return True
        if self._n_kept < MIN_KEPT:
            return False
        centre = (self._sum / self._n_kept).astype(np.float32)
        kept = self._newest[: self._n_kept] - centre
        own = embedding.astype(np.float32) - centre
        lengths = np.sqrt(np.einsum("ij,ij->i", kept, kept)) * np.linalg.norm(own)
        return bool(np.any(kept @ own > self._cosine * lengths))

    def keep(self, samples_sha256: str, embedding: np.ndarray) -> None:
        """Remember a clip that was kept."""
        self._digests.add(samples_sha256[:16])
        self._newest[self._n_kept % len(self._newest)] = embedding
        self._sum += embedding
        self._n_kept += 1
