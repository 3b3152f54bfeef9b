"""Combines the model's outputs for the clips into one score or one embedding for the recording."""

import numpy as np

from core.probes import ClipSelection


class EventScores:
    """Recording-level event probabilities: for each label the largest over the clips, so one cough is enough."""

    def __init__(self, n_events: int):
        self.probabilities = np.zeros(n_events)
        self.n_clips = 0

    def push(self, event_probabilities: np.ndarray) -> None:
        """Take one clip's probabilities, shape (n_events,)."""
        self.probabilities = np.maximum(self.probabilities, event_probabilities)
        self.n_clips += 1


class PooledEmbedding:
    """Running mean of the embeddings of the clips that a probe selects; constant memory."""

    def __init__(self, selection: ClipSelection, event_labels: tuple[str, ...], embedding_size: int):
        self.n_clips = 0
        self._event_index = None if selection.event is None else event_labels.index(selection.event)
        self._min_probability = selection.min_probability
        self._sum = np.zeros(embedding_size)

    def push(self, embedding: np.ndarray, event_probabilities: np.ndarray) -> None:
        """Take one clip's embedding (embedding_size,) if its event is probable enough."""
        if self._event_index is None or event_probabilities[self._event_index] >= self._min_probability:
            self._sum += embedding
            self.n_clips += 1

    @property
    def mean(self) -> np.ndarray | None:
        """Mean embedding, float64 (embedding_size,); None while no clip was selected."""
        return self._sum / self.n_clips if self.n_clips else None
