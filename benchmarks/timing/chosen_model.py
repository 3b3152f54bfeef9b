"""The only place that opens the model that a command is about: a bundle's own, or a file with the same signature."""

from dataclasses import dataclass
from pathlib import Path

from core.bundle import load_bundle
from core.errors import SettingsError
from core.interpreter import LiteRtInterpreter
from quantize.tflite_graph import list_operators, read_model


@dataclass(frozen=True)
class ChosenModel:
    """A model's name for tables, and the content of its file."""

    name: str
    content: bytes


def choose_model(bundle: Path | None, model: Path | None) -> ChosenModel:
    """The bundle's model, the shipped bundle's where both are None, or the file `model`.

    Raises
    ------
    BundleError, InterpreterError, SettingsError
        If the bundle or file is none, lacks the signature ``screen`` or its shapes, or both are given.
    """
    if bundle is not None and model is not None:
        raise SettingsError(f"--bundle is {bundle} and --model is {model}; expected one of them.")
    if model is None:
        opened = load_bundle(bundle)
        return ChosenModel(opened.name, opened.read_model())
    content = read_model(model)
    list_operators(content, str(model))
    LiteRtInterpreter(model)
    return ChosenModel(model.stem, content)
