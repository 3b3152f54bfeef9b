"""Provides the tests of the phone benchmark with a phone to plug in, and a peer of the shipped model."""

import os

import pytest

from core.bundle import load_bundle
from tests.benchmarks.phone.fake_phone_programs import make_phone_and_tool


@pytest.fixture
def plug(tmp_path, monkeypatch):
    """Put a fake adb with one phone first on PATH; returns the phone's folder and the tool to push to it."""

    def make(**settings):
        monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:{os.environ['PATH']}")
        monkeypatch.setenv("FAKE_PHONE", str(tmp_path / "phone"))
        monkeypatch.delenv("ANDROID_SERIAL", raising=False)
        return make_phone_and_tool(tmp_path, **settings)

    return make


@pytest.fixture
def peer(tmp_path):
    """The shipped model under another name and with other bytes at its end, so that it is another file."""
    path = tmp_path / "peer.tflite"
    path.write_bytes(load_bundle(None).read_model() + bytes(16))
    return path
