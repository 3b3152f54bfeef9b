"""What the phone runs: from a recording to a screening, with numpy and one TFLite runtime."""
