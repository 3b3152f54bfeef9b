"""Makes the teachers' targets from the command line (tussis-targets)."""

from pathlib import Path
from typing import Annotated

import typer

from core.errors import exit_on_error
from distill.command_line import run_app

COMMAND = "tussis-targets"
TEACHER_HELP = (
    "mae:CHECKPOINT, hear:FOLDER or hear:HUB_ID in google/hear-pytorch's layout, tflite:MODEL with a waveform input, "
    "tflite-inner:MODEL (what its last layer takes, where its outputs are classes), or several joined by +, for "
    "instance mae:runs/pretrain/final.pt+tflite-inner:yamnet.tflite."
)

app = typer.Typer(add_completion=False, help="What the teachers say of each crop of a store, for tussis-distill.")

StoreOption = Annotated[Path, typer.Option(help="Folder written by tussis-corpus store.")]
OutOption = Annotated[Path, typer.Option(help="Folder of the targets.")]


@app.command()
def events(
    store: StoreOption,
    out: OutOption,
    yamnet: Annotated[Path, typer.Option(help="YAMNet as .tflite, its class map yamnet_class_map.csv beside it.")],
) -> None:
    """Score every crop with the event teacher, once.

    Example: tussis-targets events --store cache/store --yamnet yamnet.tflite --out cache/targets
    """
    with exit_on_error(COMMAND):
        from distill.corpus.waveform_store import WaveformStore
        from distill.distillation.targets import save_events
        from distill.distillation.yamnet import YamnetTeacher

        save_events(WaveformStore.open(store), YamnetTeacher(yamnet), out)


@app.command()
def embeddings(
    store: StoreOption,
    out: OutOption,
    teacher: Annotated[str, typer.Option(help=TEACHER_HELP)],
) -> None:
    """Embed every crop with the embedding teacher, once.

    Example: tussis-targets embeddings --store cache/store --teacher mae:runs/pretrain/final.pt --out cache/targets
    """
    with exit_on_error(COMMAND):
        from distill.corpus.waveform_store import WaveformStore
        from distill.distillation.targets import save_embeddings
        from distill.distillation.teachers import load_teacher

        save_embeddings(WaveformStore.open(store), load_teacher(teacher), out)


def main() -> None:
    """Entry point of ``tussis-targets``."""
    run_app(app)


if __name__ == "__main__":
    main()
