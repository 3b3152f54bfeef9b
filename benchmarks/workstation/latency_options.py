"""The only place that says what the options of the latency benchmark mean to who types them."""

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.timing.contenders import DETECTOR
from benchmarks.timing.interleaved import MIN_RUNS
from core.interpreter import MAX_THREADS

BundleOption = Annotated[Path | None, typer.Option(help="Bundle; the shipped one when left out.")]
ModelOption = Annotated[
    list[Path] | None, typer.Option("--model", help="A further .tflite of the same signature; repeatable.")
]
FloatOption = Annotated[
    list[Path] | None, typer.Option("--float", help="The float model, to stand beside; repeatable.")
]
YamnetOption = Annotated[Path, typer.Option(help="YAMNet as .tflite; left out with a sentence where absent.")]
DetectorOption = Annotated[
    bool, typer.Option(help=f"Build {DETECTOR} with random weights in three precisions; takes half a minute.")
]
PeerOption = Annotated[
    list[Path] | None, typer.Option("--peer", help="A peer's .tflite or .onnx, waveform in; repeatable.")
]
PeerSecondsOption = Annotated[
    float | None, typer.Option(min=0.01, help="Audio that a run of each --peer stands for, if its input hides it.")
]
RecordingOption = Annotated[
    Path | None, typer.Option(help="Recording to screen; 10 s of the demonstration at 44.1 kHz when left out.")
]
RunsOption = Annotated[int, typer.Option(help=f"Runs of each, at least {MIN_RUNS}.")]
SecondsOption = Annotated[float, typer.Option(min=0, help="Go on for at least this many seconds, for instance 60.")]
MlperfOption = Annotated[bool, typer.Option(help="As MLPerf Mobile's single stream: 1,024 runs, 60 s, p90.")]
ThreadsOption = Annotated[
    list[int] | None, typer.Option(min=1, max=MAX_THREADS, help="Threads of each model; repeatable.")
]
DelegateOption = Annotated[
    list[str] | None, typer.Option(help="xnnpack, builtin (LiteRT's kernels) or reference; repeatable.")
]
JsonOption = Annotated[Path | None, typer.Option("--json", help="JSON file to write, whole or not at all.")]
