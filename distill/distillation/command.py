"""Distils a student from the command line (tussis-distill)."""

from pathlib import Path
from typing import Annotated

import typer

from core.errors import exit_on_error
from core.process.terminal import printable, say
from distill.command_line import run_app
from distill.distillation.targets_command import TEACHER_HELP

app = typer.Typer(add_completion=False)


@app.command()
def run(
    config: Annotated[Path, typer.Option(help="TOML settings, for instance distill/configs/distil_small.toml.")],
    store: Annotated[Path, typer.Option(help="Folder written by tussis-corpus store.")],
    targets: Annotated[Path, typer.Option(help="Folder written by tussis-targets.")],
    out: Annotated[Path, typer.Option(help="Run folder: settings, log, latest.pt to resume from, final.pt.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Settings as key.sub=value.")] = None,
    teacher: Annotated[str | None, typer.Option(help=TEACHER_HELP)] = None,
    qat: Annotated[
        Path | None, typer.Option(help="Checkpoint of a trained student to tune to int8, instead of a new one.")
    ] = None,
    event_layer: Annotated[
        Path | None,
        typer.Option(help="Checkpoint of a trained student whose event layer to tune to labelled recordings, alone."),
    ] = None,
    time_limit_s: Annotated[float | None, typer.Option(help="Stop after this many seconds of training.")] = None,
) -> None:
    """Distil a student from the teachers' targets; with --teacher its embeddings are made first where they are absent.

    With --event-layer the targets are those of `tussis-targets events` with both teachers.

    Example: tussis-distill --config distill/configs/distil_small.toml --store cache/store
    --targets cache/targets --out runs/student
    """
    with exit_on_error("tussis-distill"):
        from distill.corpus.waveform_store import WaveformStore
        from distill.distillation.distill_student import DistillSettings, distill
        from distill.distillation.event_layer import tune_event_layer
        from distill.distillation.targets import Targets, ensure_embeddings
        from distill.settings import load_settings
        from distill.training.processes import check_alone

        check_alone("the training")
        settings = load_settings(DistillSettings, config, overrides or [])
        recordings = WaveformStore.open(store)
        if event_layer is not None:
            of_crops = Targets.load_blended(targets, settings.teachers)
            tuned = tune_event_layer(event_layer, settings.event_layer, recordings, of_crops, out)
            say(printable(str(tuned)))
            return
        if teacher is not None:
            ensure_embeddings(recordings, teacher, targets)
        say(printable(str(distill(settings, recordings, targets, out, time_limit_s, qat))))


def main() -> None:
    """Entry point of ``tussis-distill``."""
    run_app(app)


if __name__ == "__main__":
    main()
