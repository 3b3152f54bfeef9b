"""The phone's half: from a recording to a screening, with numpy and one TFLite runtime."""
