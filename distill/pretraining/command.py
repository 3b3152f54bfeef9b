"""Pretrains the teacher from the command line (tussis-pretrain)."""

from pathlib import Path
from typing import Annotated

import typer

from core.errors import SettingsError, exit_on_error
from core.process.terminal import printable, say
from distill.command_line import run_app

app = typer.Typer(add_completion=False)


@app.command()
def run(
    config: Annotated[Path, typer.Option(help="TOML settings, for instance distill/configs/pretrain_tiny.toml.")],
    out: Annotated[Path, typer.Option(help="Run folder: settings, log, pictures, latest.pt to resume, final.pt.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Settings as key.sub=value, e.g. training.steps=100.")
    ] = None,
    store: Annotated[Path | None, typer.Option(help="Folder written by tussis-corpus store.")] = None,
    shards: Annotated[
        Path | None, typer.Option(help="Corpus of shards to train on; --store is then for validation and rooms.")
    ] = None,
    time_limit_s: Annotated[
        float | None, typer.Option(min=0.001, help="End after this many seconds of training; unlimited when left out.")
    ] = None,
) -> None:
    """Pretrain a masked autoencoder on 2-s clips; an interrupted run goes on where it stopped.

    Example: tussis-pretrain --config distill/configs/pretrain_tiny.toml --store cache/store --out runs/pretrain_tiny

    From a corpus too large for a store: --shards corpus --store small_store.

    On eight GPUs: torchrun --standalone --nproc-per-node 8 -m distill.pretraining.command, with the same
    options; for a model that leaves a GPU too little memory, with training.sharding=fsdp.
    """
    with exit_on_error("tussis-pretrain"):
        from distill.pretraining.pretrain import PretrainSettings, open_store, pretrain
        from distill.settings import load_settings
        from distill.training.processes import is_first, joined

        settings = load_settings(PretrainSettings, config, overrides or [])
        if store is None and shards is None:
            raise SettingsError("there is nothing to train on: give --store, --shards or both")
        with joined():
            final = pretrain(settings, open_store(store), out, time_limit_s, shards)
            if is_first():
                say(printable(str(final)))


def main() -> None:
    """Entry point of ``tussis-pretrain``."""
    run_app(app)


if __name__ == "__main__":
    main()
