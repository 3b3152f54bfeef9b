"""Makes tests/data/tiny_model.tflite, an untrained model of the shipped signature that the phone's tests run.

Needs torch and litert-torch: ``python -m tests.tiny_model tests/data/tiny_model.tflite``. The same versions always
give the same bytes.
"""

import sys
from pathlib import Path


def convert_tiny_model(path: Path) -> None:
    """Write the model: a strided convolution over the waveform, its mean, and a linear layer for each output."""
    import litert_torch
    import torch
    from torch import nn

    class TinyModel(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.frames = nn.Conv1d(1, 16, 640, stride=640)
            self.embedding, self.events, self.activity = nn.Linear(16, 512), nn.Linear(16, 8), nn.Conv1d(16, 1, 1)

        def forward(self, waveform: torch.Tensor) -> dict[str, torch.Tensor]:
            frames = torch.relu(self.frames(waveform.unsqueeze(1)))
            pooled = nn.functional.adaptive_avg_pool1d(frames, 1).flatten(1)
            return {
                "embedding": self.embedding(pooled),
                "event_logits": self.events(pooled),
                "activity_logits": self.activity(frames).flatten(1),
            }

    TinyModel.__module__ = "tests"  # in the names of the file's tensors, however this module is imported
    TinyModel.__qualname__ = "TinyModel"
    sample = {"waveform": torch.zeros(1, 32000)}
    litert_torch.signature("screen", TinyModel().eval(), sample_kwargs=sample).convert().export(str(path))


if __name__ == "__main__":
    convert_tiny_model(Path(sys.argv[1]))
