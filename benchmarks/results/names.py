"""Names and defaults that several benchmarks share, in one home; importing them costs nothing."""

from pathlib import Path

# Whose a row is: ``facts["role"]``.
OURS, PEER, YARDSTICK = "ours", "peer", "yardstick"
# Which part of it: a row's ``stage``. A stage with a colon, such as "screening: decode", is a part of the one before.
SCREENING, MODEL, WHOLE = "screening", "model", "whole"  # parts of a model: quantize/tflite_parts.py
FLOAT, INT8, DYNAMIC = "float32", "int8", "dynamic int8"
XNNPACK, BUILTIN = "xnnpack", "builtin"
YAMNET_NAME, DETECTOR_NAME = "YAMNet", "MobileNetV3-Small + PCEN"
# What two results must share to be compared.
MACHINE = ("device", "machine", "cpu", "n_cores", "instructions", "governor", "os")

YAMNET_FILE = Path("../shared/models/yamnet.tflite")
DATA_FOLDER = Path("../shared/data")
MIN_RUNS = 200  # that percentiles need
INTERVAL_PERCENTILES = (2.5, 97.5)
