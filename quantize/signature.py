"""The only place that gives the student the names of the signature: waveform in, three outputs by name."""

from torch import Tensor, nn

from distill.student import Student, StudentOutputs

OUTPUTS = StudentOutputs._fields


class ScreenSignature(nn.Module):
    """The student with its outputs under the names of the signature.

    The class lies in a module of its own because its full name becomes part of the tensors' names in the .tflite file.
    """

    def __init__(self, student: Student):
        super().__init__()
        self.student = student

    def forward(self, waveform: Tensor) -> dict[str, Tensor]:
        """Map a waveform (1, 32000) to embedding (1, 512), event_logits (1, 8) and activity_logits (1, 50)."""
        return self.student(waveform)._asdict()


class PositionalSignature(ScreenSignature):
    """The same as a tuple in the order of `OUTPUTS`, for exporters that name outputs by position."""

    def forward(self, waveform: Tensor) -> tuple[Tensor, ...]:
        """Map a waveform (1, 32000) to the three outputs."""
        return tuple(self.student(waveform))
