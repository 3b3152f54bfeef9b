"""The only place that times a full encoder's exported files beside torch, in turns."""

import json
import time
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.device import describe_device, load_average
from benchmarks.interleaved import WARM_UP_RUNS, Contender, Timing, ratio_with_interval, summarize, time_interleaved
from core.audio import SAMPLE_RATE_HZ
from core.errors import DataError, exit_on_error
from core.files import check_writable, write_atomically
from core.interpreter import MAX_THREADS
from distill.provenance import source_commit
from distill.teachers import EncoderTeacher
from distill.tflite_teacher import TfliteTeacher
from quantize.conversion import file_facts
from quantize.encoder_recipe import Format
from quantize.export_encoder import FILES, load_encoder, open_onnx
from quantize.synthesized_clips import synthesized_clips

SCHEMA = "tussis.encoder_latency/1"
TFLITE_FORMATS = (Format.INT8, Format.FLOAT16, Format.FLOAT32)
MIN_RUNS = 20
PROTOCOL = (
    "two clips through each in turn, the second timed, samples in and embedding out, front end included; warm-up left "
    "out; ratio of "
    "medians to torch, 95 % bootstrap interval over rounds"
)


def gather(encoder: str, exported: Path, threads: int) -> list[Contender]:
    """Load torch's encoder and every file that tussis-export left in `exported`; DataError where there is none."""
    clip = torch.from_numpy(synthesized_clips(2)[1:])
    contenders = [_torch_contender(encoder, clip)]
    for its in TFLITE_FORMATS:
        if (path := exported / FILES[its]).exists():
            contenders.append(_tflite_contender(path, its, clip, threads))
    if (path := exported / FILES[Format.ONNX]).exists():
        contenders.append(_onnx_contender(path, clip, threads))
    if len(contenders) == 1:
        raise DataError(f"{exported} holds none of {', '.join(FILES.values())}: run tussis-export first")
    return contenders


def _torch_contender(encoder: str, clip: torch.Tensor) -> Contender:
    start = time.perf_counter()
    teacher: EncoderTeacher = load_encoder(encoder)
    load_s = time.perf_counter() - start
    return Contender("torch float32", lambda: teacher.embed(clip), _seconds(clip), load_s, {})


def _tflite_contender(path: Path, its: Format, clip: torch.Tensor, threads: int) -> Contender:
    start = time.perf_counter()
    teacher = TfliteTeacher(path, threads)
    load_s = time.perf_counter() - start
    return Contender(f"TFLite {its}", lambda: teacher.embed(clip), _seconds(clip), load_s, file_facts(path))


def _onnx_contender(path: Path, clip: torch.Tensor, threads: int) -> Contender:
    start = time.perf_counter()
    session = open_onnx(path, threads)
    load_s = time.perf_counter() - start
    feed = {"waveform": clip.numpy()}
    return Contender("onnxruntime", lambda: session.run(None, feed), _seconds(clip), load_s, file_facts(path))


def _seconds(clip: torch.Tensor) -> float:
    return clip.shape[-1] / SAMPLE_RATE_HZ


def measure(contenders: list[Contender], threads: int, runs: int) -> dict[str, Any]:
    """Time contenders in turns, torch first, and describe what the times depend on."""
    load_before = load_average()
    timed = list(zip(contenders, time_interleaved(contenders, runs), strict=True))
    return {
        "schema": SCHEMA,
        "protocol": PROTOCOL,
        "device": describe_device(),
        "load_average": {"before": load_before, "after": load_average()},
        "runtime": {name: version(name) for name in ("torch", "ai-edge-litert", "onnxruntime")},
        "threads": threads,
        "warm_up_runs": 1 + WARM_UP_RUNS,
        "commit": source_commit(),
        "results": [_result(pair, timed[0]) for pair in timed],
    }


def _result(ours: tuple[Contender, Timing], torchs: tuple[Contender, Timing]) -> dict[str, Any]:
    return summarize(*ours) | {"of_torch": ratio_with_interval(ours, torchs)}


def show(result: dict[str, Any], console: Console) -> None:
    """Print a result as a table for a person."""
    load = result["load_average"]
    title = f"{result['threads']} thread(s), {result['results'][0]['n_runs']} runs in turns, milliseconds a 2-s clip"
    table = Table(title=f"{title}; load average {load['before']} to {load['after']}")
    for column in ("encoder", "MB", "load", "first", "lowest", "p50", "p90", "of torch"):
        table.add_column(column, justify="left" if column == "encoder" else "right")
    for its in result["results"]:
        size = f"{its['bytes'] / 1e6:.1f}" if "bytes" in its else ""
        times = [f"{its[key]:.1f}" for key in ("load_ms", "first_run_ms", "min_ms", "p50_ms", "p90_ms")]
        table.add_row(its["name"], size, *times, f"{its['of_torch']['value']:.2f}")
    console.print(table)


app = typer.Typer(add_completion=False)


@app.command()
def encoder_latency(
    encoder: Annotated[str, typer.Argument(help="What was given to tussis-export.")],
    exported: Annotated[Path, typer.Option(help="Folder that tussis-export wrote.")],
    runs: Annotated[int, typer.Option(min=MIN_RUNS, help="Runs of each.")] = MIN_RUNS,
    threads: Annotated[int, typer.Option(min=1, max=MAX_THREADS, help="Threads of each.")] = 1,
    json_path: Annotated[Path | None, typer.Option("--json", help="JSON file to write, whole or not at all.")] = None,
) -> None:
    """Time an encoder in torch and its exported files, run by run in turns; milliseconds a 2-s clip.

    Example: python -m benchmarks.encoder_latency runs/pretrain/final.pt --exported runs/encoder --threads 2
    """
    with exit_on_error("encoder_latency"):
        if json_path is not None:
            check_writable(json_path)
        torch.set_num_threads(threads)
        result = measure(gather(encoder, exported, threads), threads, runs)
        if json_path is not None:
            write_atomically(json_path, json.dumps(result, indent=1, allow_nan=False) + "\n")
        show(result, Console(soft_wrap=True))


def main() -> None:
    """Entry point of ``python -m benchmarks.encoder_latency``."""
    app()


if __name__ == "__main__":
    main()
