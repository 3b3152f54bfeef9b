"""Is the application's process on the stub phone: `start_app.py FILES_FOLDER debug|release AM_ARGUMENTS`."""

import os
import sys

from tests.android.desktop_java import start_java
from tests.android.model_backend import ModelBackend, java_backend


def main(files: str, mode: str, words: list[str]) -> None:
    """Start the application with the intent that am was told; it answers, or would open its window."""
    start_java()
    from jnius import autoclass

    backend = java_backend(ModelBackend())
    autoclass("org.tussis.stub.Switch").use(backend)
    intent = autoclass("android.content.Intent")(words[words.index("-a") + 1])
    for flag, key, value in zip(words, words[1:], words[2:], strict=False):
        if flag in ("--es", "--ei"):
            intent.putExtra(key, value if flag == "--es" else int(value))
    desk = autoclass("org.tussis.stub.Desk")
    desk.start(intent, files)
    autoclass("org.tussis.stub.Switch").set("org.tussis.stub.Desk", "isRelease", float(mode == "release"))
    os.environ["ANDROID_ARGUMENT"] = ""
    from app import main as application

    application.read_trust = lambda *_: sys.exit("the window would open")  # what comes after the benchmark
    application.main([])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
