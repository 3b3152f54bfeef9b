"""Mines folders of recordings for clips with a health sound, from the command line (tussis-mine)."""

from pathlib import Path
from typing import Annotated

import typer

from core.errors import exit_on_error, report
from core.process.signals import stop_signals
from core.process.terminal import printable, say
from distill.command_line import run_app

COMMAND = "tussis-mine"
app = typer.Typer(add_completion=False)


@app.command()
def command(
    folders: Annotated[list[Path], typer.Argument(help="Folders with recordings of any length: WAV, FLAC, Ogg, MP3.")],
    out: Annotated[Path, typer.Option(help="Pack to write: a new folder, or one to go on with.")],
    bundle: Annotated[Path | None, typer.Option(help="Bundle folder; the shipped one when left out.")] = None,
    min_probability: Annotated[float, typer.Option(help="Least probability of one of the labels, 0 to 1.")] = 0.3,
    labels: Annotated[str | None, typer.Option(help="Event labels, with commas; all but speech when left out.")] = None,
    licence: Annotated[str, typer.Option(help="Of recordings of which no pack's manifest.csv says it.")] = "unknown",
    name: Annotated[str | None, typer.Option(help="Name of the data set; the pack folder's when left out.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes or Ray actors; one per core when left out.")] = None,
    ray_address: Annotated[str | None, typer.Option(help="Ray cluster: HOST:PORT, auto, or local.")] = None,
    shards: Annotated[Path | None, typer.Option(help="Folder for the pack's clips as WebDataset tar shards.")] = None,
) -> None:
    """Keep the 2-s clips that hold a health sound, as a pack that training takes as unlabelled data.

    Clips are 16 kHz FLAC; clips that overlap a better one and near-duplicates are left out. A recording that a pack's
    manifest.csv lists keeps its subject. Else the first folder below FOLDER is one subject, and a recording that lies
    directly in FOLDER another. A run that was stopped goes on when it is started again. report.json in the pack says
    what was heard and kept, and audio-hours per core-hour.

    With --ray-address the recordings are mined on a Ray cluster, every node of which has Tussis and reads them at the
    same paths. With --shards the clips are then written as a corpus of shards, with clips.csv: source, offset and
    scores of each. What a pack in the same folder as OUT holds out of training stays out of the shards.

    Example: tussis-mine recordings --out data/mined --licence "CC BY 4.0" --shards corpus
    """
    with exit_on_error(COMMAND):
        from core.bundle import load_bundle
        from distill.mining.mine import checked_labour, mine_into_pack, mining_settings
        from distill.mining.pack import check_pack_folder
        from distill.mining.recordings import find_recordings

        opened = load_bundle(bundle)
        settings = mining_settings(opened, out, name, labels, min_probability)
        labour = checked_labour(workers, ray_address)
        check_pack_folder(out)
        if shards is not None:
            from distill.corpus.shard_writer import summarize  # these bring torch along
            from distill.mining.shards import check_shards_folder, write_pack_as_shards

            check_shards_folder(out, shards)
        recordings = find_recordings(folders, out, settings.name, licence)
        with stop_signals() as stop:
            say(mine_into_pack(settings, recordings, opened, out, labour, stop))
        if stop:
            report(COMMAND, f"{stop.name} ended the run; start it again to go on.")
            raise SystemExit(stop.status)
        if shards is not None:
            say(f"{printable(str(shards))}: {summarize(write_pack_as_shards(out, shards))}")


def main() -> None:
    """Entry point of ``tussis-mine``."""
    run_app(app)


if __name__ == "__main__":
    main()
