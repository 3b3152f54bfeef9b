"""The only place that loads what is timed: our models, and peers by file."""

import hashlib
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.interleaved import Contender
from core.audio import SAMPLE_RATE_HZ
from core.errors import InterpreterError
from core.interpreter import LiteRtInterpreter
from quantize.operators import count_partitions, list_operators, read_model
from quantize.synthesized_clips import synthesized_clips

YAMNET_SAMPLES = 15_600


def load_student_model(path: Path, threads: int, name: str) -> Contender:
    """A model with the signature ``screen``: 2 s of samples to embedding, events and activity, through core."""
    content = read_model(path)
    clip = synthesized_clips(2)[1]
    start = time.perf_counter()
    interpreter = LiteRtInterpreter(content, threads)
    load_s = time.perf_counter() - start
    audio_s = len(clip) / SAMPLE_RATE_HZ
    return Contender(name, lambda: interpreter.run(clip), audio_s, load_s, _facts(content, name))


def load_yamnet(path: Path, threads: int) -> Contender:
    """YAMNet as TFLite: one frame of 0.975 s to 521 scores, frames not overlapping; no embedding output."""
    from ai_edge_litert.interpreter import Interpreter

    content = read_model(path)
    list_operators(content, str(path))
    start = time.perf_counter()
    runtime = Interpreter(model_content=content, num_threads=threads)
    runtime.allocate_tensors()
    load_s = time.perf_counter() - start
    its_input = runtime.get_input_details()[0]
    if int(np.prod(its_input["shape"])) != YAMNET_SAMPLES:
        raise InterpreterError(f"{path} takes {its_input['shape'].tolist()} values; YAMNet takes {YAMNET_SAMPLES}.")
    frame = synthesized_clips(2)[1][:YAMNET_SAMPLES].reshape(its_input["shape"])
    scores = runtime.get_output_details()[0]["index"]

    def run() -> None:
        runtime.set_tensor(its_input["index"], frame)
        runtime.invoke()
        runtime.get_tensor(scores)

    return Contender("YAMNet", run, YAMNET_SAMPLES / SAMPLE_RATE_HZ, load_s, _facts(content, "YAMNet"))


def _facts(content: bytes, source: str) -> dict[str, Any]:
    partitions = count_partitions(content)
    whole = "all operators in one" if partitions.is_whole else "not all operators in one"
    return {
        "model_sha256": hashlib.sha256(content).hexdigest(),
        "model_bytes": len(content),
        "n_operators": len(list_operators(content, source)),
        "delegate": f"XNNPACK, {partitions.n_partitions} partition(s), {whole}",
        "n_partitions": partitions.n_partitions,
    }
