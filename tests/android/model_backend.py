"""Puts the real LiteRT behind the stub Interpreter, as Java calls it."""

from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType


class ModelBackend:
    """Opens and runs models with ai-edge-litert; ``spoil`` changes the outputs of a run."""

    def __init__(self) -> None:
        self.runtime: Any = None
        self.opened: list[tuple[int, bool]] = []
        self.spoil = lambda outputs: outputs
        self.is_broken = False
        self.answer_seconds = 0.0

    def open(self, content: bytes, threads: int, xnnpack: bool) -> str:
        """What `org.tussis.stub.Backend.open` answers."""
        kernels = OpResolverType.AUTO if xnnpack else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        try:
            self.runtime = Interpreter(
                model_content=content, num_threads=threads, experimental_op_resolver_type=kernels
            )
            self.runtime.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            return f"error {error}"
        self.opened.append((threads, xnnpack))
        lines = []
        for name in self.runtime.get_signature_list():
            runner = self.runtime.get_signature_runner(name)
            lines.append(f"signature {name}")
            for side, tensors in (("input", runner.get_input_details()), ("output", runner.get_output_details())):
                for tensor, details in tensors.items():
                    sizes = ",".join(map(str, details["shape"]))
                    lines.append(f"{side} {name} {tensor} {np.dtype(details['dtype']).name.upper()} {sizes}")
        return "\n".join(lines)

    def run(self, signature: str, content: bytes) -> bytes | None:
        """The outputs in the order of names."""
        if self.is_broken:
            return None
        waveform = np.frombuffer(content, np.float32)[np.newaxis]
        outputs = self.spoil(self.runtime.get_signature_runner(signature)(waveform=waveform))
        return b"".join(outputs[name].tobytes() for name in sorted(outputs))


def java_backend(backend: ModelBackend) -> Any:
    """`backend` as a Java object; keep it as long as Java may call it."""
    from jnius import PythonJavaClass, autoclass, java_method

    byte_buffer = autoclass("java.nio.ByteBuffer")

    def content_of(buffer: Any) -> bytes:
        copied = bytearray(buffer.remaining())
        view = buffer.duplicate()
        array = byte_buffer.allocate(len(copied)).put(view).array()
        return array.tostring()

    class Backend(PythonJavaClass):
        __javainterfaces__ = ("org/tussis/stub/Backend",)
        __javacontext__ = "app"

        @java_method("(Ljava/nio/ByteBuffer;IZ)Ljava/lang/String;")
        def open(self, model: Any, threads: int, xnnpack: bool) -> str:
            return backend.open(content_of(model), threads, bool(xnnpack))

        @java_method("(Ljava/lang/String;Ljava/nio/ByteBuffer;)Ljava/nio/ByteBuffer;")
        def run(self, signature: str, waveform: Any) -> Any:
            answer = backend.run(signature, content_of(waveform))
            self.answer = None if answer is None else byte_buffer.wrap(answer)  # kept: Java gets null for one let go
            return self.answer

    return Backend()
