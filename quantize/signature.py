"""Gives student and encoder their signatures: a waveform in, outputs by name."""

from torch import Tensor, nn

from distill.models.encoder import Encoder
from distill.models.hear_front_end import ConvertibleFrontEnd
from distill.models.student import Student

EMBED_SIGNATURE = "embed"
EMBED_OUTPUTS = ("embedding",)


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
    """The same as a tuple in that order, for exporters that name outputs by position."""

    def forward(self, waveform: Tensor) -> tuple[Tensor, ...]:
        """Map a waveform (1, 32000) to the three outputs."""
        return tuple(self.student(waveform))


class EncoderWithFrontEnd(nn.Module):
    """An encoder behind HeAR's front end, in the form that converts."""

    def __init__(self, encoder: Encoder):
        super().__init__()
        self.front_end = ConvertibleFrontEnd()
        self.encoder = encoder

    def forward(self, waveform: Tensor) -> Tensor:
        """Map a waveform (1, 32000) to an embedding (1, embedding_size)."""
        return self.encoder(self.front_end(waveform))


class EmbedSignature(EncoderWithFrontEnd):
    """The same with its output under the name of the signature ``embed``."""

    def forward(self, waveform: Tensor) -> dict[str, Tensor]:
        """Map a waveform (1, 32000) to its embedding by name."""
        return {"embedding": super().forward(waveform)}
