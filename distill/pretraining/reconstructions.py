"""Draws what a masked autoencoder makes of a few clips: image, what was left, what it filled in."""

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor

from core.errors import OutputError
from distill.models.hear_front_end import HearFrontEnd
from distill.models.masked_autoencoder import MaskedAutoencoder
from distill.models.patches import patchify, unpatchify

_MASK_SEED = 0


@torch.no_grad()
def draw_reconstructions(model: MaskedAutoencoder, front_end: HearFrontEnd, waveforms: Tensor, path: Path) -> None:
    """Write a PNG with one row per clip: PCEN image, visible patches, reconstruction; mel upwards, time rightwards.

    Without matplotlib a warning says so, and the images are kept as an npz of the same name, for `draw` elsewhere.

    Parameters
    ----------
    waveforms : Tensor, shape (n_clips, 32000), float32 at 16 kHz; the masks are the same at each call
    """
    images = front_end(waveforms)
    result = model(images, Generator().manual_seed(_MASK_SEED))
    visible = unpatchify(patchify(images).masked_fill(result.mask[..., None].bool(), float("nan")))
    columns = torch.stack([images, visible, model.fill_in(images, result)]).float().cpu().numpy()
    try:
        draw(columns, path)
    except ImportError:
        warnings.warn("matplotlib is not installed: reconstructions are kept as npz", stacklevel=2)
        np.savez_compressed(path.with_suffix(".npz"), columns=columns.astype(np.float16))


def draw(columns: np.ndarray, path: Path) -> None:
    """Draw images, visible patches and reconstructions, shape (3, n_clips, 192, 128); needs matplotlib."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    n_clips = columns.shape[1]
    figure = Figure(figsize=(9, 2.2 * n_clips), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(n_clips, 3, squeeze=False)
    for row in range(n_clips):
        top = columns[0, row].max()
        for axis, pictures in zip(axes[row], columns, strict=True):
            axis.imshow(pictures[row].T, origin="lower", aspect="auto", vmin=0.0, vmax=top)
            axis.set_axis_off()
    for axis, title in zip(axes[0], ("PCEN of 2 s", "visible patches", "reconstruction"), strict=True):
        axis.set_title(title)
    try:
        figure.savefig(path, dpi=100)
    except OSError as error:
        raise OutputError(f"cannot write the picture {path}: {error.strerror}") from error
