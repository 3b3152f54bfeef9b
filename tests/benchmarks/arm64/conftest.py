"""Provides the tests of the ARM64 check with fake tools of Debian, and a job's results on this machine."""

import pytest

from benchmarks.arm64.jobs import plan


@pytest.fixture
def fake_tools(tmp_path, monkeypatch):
    """Put programs with the names of Debian's tools alone on PATH; apt-get does what is given, asking no network."""

    def make(apt_get):
        folder = tmp_path / "bin"
        folder.mkdir()
        scripts = {"apt-get": apt_get, "dpkg": "echo amd64", "dpkg-deb": "exit 0", "cc": "exit 0"}
        for tool, script in scripts.items():
            (folder / tool).write_text(f"#!/bin/bash\n{script}\n", encoding="utf-8")
            (folder / tool).chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))

    return make


@pytest.fixture(scope="package")
def job_results(default_bundle, tmp_path_factory):
    """Outputs of the shipped model and its parts on this machine."""
    return plan(tmp_path_factory.mktemp("job"), default_bundle.read_model(), None, None).run_here()
