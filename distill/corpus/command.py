"""Makes what is learnt from: the manifest, the waveform store and corpora of shards (tussis-corpus)."""

from pathlib import Path
from typing import Annotated

import typer

from core.errors import DataError, exit_on_error
from core.files import make_folder, refuse_same
from core.process.terminal import printable, say
from distill.command_line import run_app

COMMAND = "tussis-corpus"

app = typer.Typer(add_completion=False, help="Recordings to learn from: manifest, waveform store, shards.")
shards_app = typer.Typer(help="Corpora of WebDataset tar shards: write, check, unpack.")
app.add_typer(shards_app, name="shards")

Manifest = Annotated[Path, typer.Option(help="CSV written by tussis-corpus manifest.")]
Data = Annotated[Path, typer.Option(help="Folder of packs that the manifest's paths start from.")]
StoreFolder = Annotated[Path, typer.Option(help="Folder to write: 2 bytes a sample, about 115 MB an hour.")]


@app.command()
def manifest(
    data: Annotated[Path, typer.Option(help="Folder of packs, each with a manifest.csv.")],
    out: Annotated[Path, typer.Option(help="CSV to write.")],
    unlabelled: Annotated[bool, typer.Option(help="Whether unlabelled recordings take part.")] = True,
    train_fraction: Annotated[
        float, typer.Option(min=0, max=1, help="Part of the training subjects to keep, for curves over corpus size.")
    ] = 1.0,
) -> None:
    """Read the packs' manifests, split them by subject and write one manifest.

    Example: tussis-corpus manifest --data ../shared/data --out runs/manifest.csv
    """
    with exit_on_error(COMMAND):
        from distill.corpus.manifests import build_manifest, summarize, with_fewer_train_subjects, write_manifest

        rows = [row for row in build_manifest(data) if unlabelled or row.labelled]
        rows = with_fewer_train_subjects(rows, train_fraction)
        make_folder(out.parent)
        write_manifest(rows, out)
        say(summarize(rows))


@app.command()
def store(manifest: Manifest, data: Data, out: StoreFolder) -> None:
    """Decode the manifest's recordings once, to int16 at 16 kHz.

    Example: tussis-corpus store --manifest runs/manifest.csv --data ../shared/data --out cache/store
    """
    with exit_on_error(COMMAND):
        from distill.corpus.manifests import read_manifest
        from distill.corpus.waveform_store import MANIFEST_FILE, WaveformStore

        refuse_same(out / MANIFEST_FILE, [manifest], "the manifest that is read")
        built = WaveformStore.build(read_manifest(manifest), data, out)
        say(printable(f"{len(built.rows)} recordings, {built.hours:.2f} h in {out}"))


@app.command()
def cohort(
    kind: Annotated[str, typer.Argument(help="coda, cidrz, coughvid, coswara, flusense, fsd50k, icbhi, ...")],
    folder: Annotated[Path, typer.Argument(help="The data set as it is published.")],
    label: Annotated[str, typer.Option(help="What is asked: tb, covid, sex_male, cough, fev1_l and so on.")],
    out: Annotated[Path, typer.Option(help="Table for tussis-probe, in the data set's folder or above it.")],
    drop: Annotated[bool, typer.Option(help="Leave out what is wrong, instead of refusing.")] = False,
) -> None:
    """Read a published data set, report what is wrong with it, and write the table that a probe is fitted on.

    Example: tussis-corpus cohort coda coda_tb --label tb --out coda_tb/tb.csv
    """
    with exit_on_error(COMMAND):
        from distill.corpus.cohorts import problems as faults
        from distill.corpus.cohorts.read_cohort import read_cohort, with_label, write_probe_table

        rows = with_label(read_cohort(kind, folder), label)
        problems = faults.find_problems(rows)
        for problem in problems:
            say(printable(f"{problem.kind}: {problem.sentence}"), is_error=True)
        kept = faults.drop(rows, problems)
        if len(kept) < len(rows) and not drop:
            raise DataError(f"{len(rows) - len(kept)} of {len(rows)} recordings are wrong; --drop leaves them out")
        if not kept:
            raise DataError(f"none of the {len(rows)} recordings of {folder} is left")
        write_probe_table(kept, label, out)
        n_people = len({row.subject_id for row in kept})
        say(printable(f"{out}: {len(kept)} recordings of {n_people} people, {len(rows) - len(kept)} left out"))


@shards_app.command()
def write(
    manifest: Manifest,
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder to write: a new one, or one to go on with.")],
    role: Annotated[list[str] | None, typer.Option(help="Which recordings; may be repeated. [default: train]")] = None,
    shard_mib: Annotated[float, typer.Option(help="Size that a shard does not pass, in MiB.")] = 64.0,
    codec: Annotated[str, typer.Option(help="flac, or opus, which loses a little and takes a fraction.")] = "flac",
    opus_kbit_s: Annotated[float | None, typer.Option(min=6, max=256, help="Rate of opus; left out, about 28.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the order in which recordings are written.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Recordings decoded at the same time.")] = 2,
) -> None:
    """Write recordings as 16 kHz mono clips in tar shards; a write that was stopped goes on.

    Example: tussis-corpus shards write --manifest runs/manifest.csv --data ../shared/data --out corpus
    """
    with exit_on_error(COMMAND):
        from distill.corpus.manifests import read_manifest
        from distill.corpus.shard_writer import checked_roles, summarize, write_shards

        roles = checked_roles(role or ["train"], codec, shard_mib)
        rows = read_manifest(manifest)
        options = {"codec": codec, "opus_kbit_s": opus_kbit_s, "shard_mib": shard_mib, "seed": seed, "threads": threads}
        say(printable(f"{out}: {summarize(write_shards(rows, data, out, roles=roles, **options))}"))


@shards_app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="Folder of a corpus: corpus-000000.tar and so on, and index.json.")],
) -> None:
    """Read everything: sizes, hashes, names, every clip, every total."""
    with exit_on_error(COMMAND):
        from distill.corpus.shard_reader import check_corpus
        from distill.corpus.shard_writer import summarize

        say(printable(f"{folder}: whole; {summarize(check_corpus(folder))}"))


@shards_app.command("store")
def unpack(
    shards: Annotated[Path, typer.Option(help="Folder of a corpus, as for check.")],
    out: StoreFolder,
) -> None:
    """Unpack a corpus into a waveform store, which tussis-pretrain and tussis-distill read."""
    with exit_on_error(COMMAND):
        from distill.corpus.shard_reader import unpack_corpus

        say(printable(f"{len(unpack_corpus(shards, out).rows)} recordings in {out}"))


def main() -> None:
    """Entry point of ``tussis-corpus``."""
    run_app(app)


if __name__ == "__main__":
    main()
