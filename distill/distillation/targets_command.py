"""Makes the teachers' targets from the command line (tussis-targets)."""

from pathlib import Path
from typing import Annotated

import typer

from core.errors import SettingsError, exit_on_error
from distill.command_line import run_app

COMMAND = "tussis-targets"
TEACHER_HELP = (
    "mae:CHECKPOINT, hear:FOLDER or hear:HUB_ID in google/hear-pytorch's layout, tflite:MODEL with a waveform input, "
    "tflite-inner:MODEL (what its last layer takes, where its outputs are classes), mn04:MODEL (EfficientAT's), or "
    "several joined by +, for instance mae:runs/pretrain/final.pt+tflite-inner:yamnet.tflite."
)

app = typer.Typer(add_completion=False, help="What the teachers say of each crop of a store, for tussis-distill.")

StoreOption = Annotated[Path, typer.Option(help="Folder written by tussis-corpus store.")]
OutOption = Annotated[Path, typer.Option(help="Folder of the targets.")]


@app.command()
def events(
    store: StoreOption,
    out: OutOption,
    yamnet: Annotated[
        Path | None, typer.Option(help="YAMNet as .tflite, its class map yamnet_class_map.csv beside it.")
    ] = None,
    mn04: Annotated[Path | None, typer.Option(help="EfficientAT's mn04_as as .onnx, beside YAMNet or later.")] = None,
) -> None:
    """Score every crop with the event teachers, once.

    Example: tussis-targets events --store cache/store --yamnet yamnet.tflite --mn04 mn04_as.onnx --out cache/targets
    """
    with exit_on_error(COMMAND):
        from distill.corpus.waveform_store import WaveformStore
        from distill.distillation.efficientat import EfficientAtTeacher
        from distill.distillation.targets import save_events, save_mn04_events
        from distill.distillation.yamnet import YamnetTeacher

        if yamnet is None and mn04 is None:
            raise SettingsError("no event teacher is named: expected --yamnet, --mn04 or both")
        # Both are loaded before the first scores a crop, so that a wrong path costs no hours.
        yamnet_teacher = YamnetTeacher(yamnet) if yamnet else None
        mn04_teacher = EfficientAtTeacher(mn04) if mn04 else None
        recordings = WaveformStore.open(store)
        if yamnet_teacher:
            save_events(recordings, yamnet_teacher, out)
        if mn04_teacher:
            save_mn04_events(recordings, mn04_teacher, out)


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


@app.command()
def mixtures(
    store: StoreOption,
    targets: Annotated[Path, typer.Option(help="Folder written by tussis-targets events with both teachers.")],
    config: Annotated[Path, typer.Option(help="TOML settings of tussis-distill: how clips are composed.")],
    yamnet: Annotated[Path, typer.Option(help="YAMNet as .tflite, its class map yamnet_class_map.csv beside it.")],
    mn04: Annotated[Path, typer.Option(help="EfficientAT's mn04_as as .onnx.")],
    out: Annotated[Path, typer.Option(help="Folder of the mixtures, 67 kB a clip; one that was stopped goes on.")],
    n_clips: Annotated[int, typer.Option(min=1, help="How many clips, rounded up to whole batches.")] = 100_000,
    seed: Annotated[int, typer.Option(min=0, help="Of the compositions.")] = 1,
) -> None:
    """Compose clips, let both event teachers hear each, and keep them; tussis-distill --targets learns from them.

    Example: tussis-targets mixtures --store cache/store --targets cache/targets --config
    distill/configs/second_small.toml --yamnet yamnet.tflite --mn04 mn04_as.onnx --out cache/mixtures
    """
    with exit_on_error(COMMAND):
        from distill.corpus.waveform_store import WaveformStore
        from distill.distillation.distill_student import DistillSettings
        from distill.distillation.mixtures import BATCH_SIZE, MixtureTeachers, save_mixtures
        from distill.distillation.soundscapes import Soundscapes
        from distill.distillation.targets import Targets
        from distill.settings import load_settings

        settings = load_settings(DistillSettings, config)
        recordings = WaveformStore.open(store)
        of_crops = Targets.load_blended(targets, settings.teachers)
        options = {"role": "train", "batch_size": BATCH_SIZE, "seed": seed, "settings": settings.soundscapes}
        soundscapes = Soundscapes(recordings, of_crops, **options)
        save_mixtures(soundscapes, MixtureTeachers(mn04, yamnet), -(-n_clips // BATCH_SIZE), out)


@app.command()
def compare(
    store: StoreOption,
    targets: Annotated[Path, typer.Option(help="Folder written by tussis-targets events with both teachers.")],
    config: Annotated[Path, typer.Option(help="TOML settings of tussis-distill: how the teachers are blended.")],
    student: Annotated[Path | None, typer.Option(help="Checkpoint of tussis-distill to set beside them.")] = None,
) -> None:
    """Tell how well each event label is known, by each event teacher and a student; AUROC on validation recordings.

    Where the student left packs out (leave_out of tussis-distill), a second table tells how well it knows their coughs.

    Example: tussis-targets compare --store cache/store --targets cache/targets --config
    distill/configs/second_small.toml --student runs/student/final.pt
    """
    with exit_on_error(COMMAND):
        from distill.checkpoints import load_checkpoint
        from distill.corpus.waveform_store import WaveformStore
        from distill.distillation import validation
        from distill.distillation.distill_student import DistillSettings
        from distill.models.student import build_student
        from distill.settings import load_settings
        from distill.shown_text import PlainConsole

        settings = load_settings(DistillSettings, config)
        recordings, console = WaveformStore.open(store), PlainConsole()
        trained = load_checkpoint(student) if student else None
        network = build_student(trained, student) if trained else None
        validation.show(validation.compare(recordings, targets, settings.teachers, network), console)
        if trained and (packs := trained.settings.get("leave_out")):
            validation.show_left_out(validation.left_out_aurocs(network, recordings, packs), console)


def main() -> None:
    """Entry point of ``tussis-targets``."""
    run_app(app)


if __name__ == "__main__":
    main()
