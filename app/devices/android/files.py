"""Opens and saves files with Android's own document picker, without any permission for storage."""

import contextlib
import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from app.data_folder import data_folder
from app.devices.android.activity import activity, ask_application
from app.devices.android.java import java, java_exception, leave_java
from app.devices.facilities import FacilityError
from core.files import make_folder

CHUNK_BYTES = 1 << 20
INCOMING = "incoming"
ANY_KIND = "*/*"
NOT_THERE = "Tussis was given no file; choose one in the list."


class AndroidFiles:
    """Files by ACTION_OPEN_DOCUMENT and ACTION_CREATE_DOCUMENT: the person chooses each one."""

    def can_ask(self) -> bool:
        """See `app.devices.facilities.FileExchange`."""
        return True

    def folders(self) -> tuple[Path, ...]:
        """See `app.devices.facilities.FileExchange`: an application sees no folder but its own."""
        return ()

    def ask_to_open(self, on_choice: Callable[[Path | None], None]) -> None:
        """See `app.devices.facilities.FileExchange`."""

        def take(answer: Any) -> None:
            uri = answer.getData() if answer is not None else None
            if uri is None:
                on_choice(None)
            else:
                _in_background(lambda: on_choice(_copy_in(uri)))

        ask_application(_document_intent("ACTION_OPEN_DOCUMENT"), take)

    def ask_to_save(self, source: Path, name: str, on_end: Callable[[str], None]) -> None:
        """See `app.devices.facilities.FileExchange`: written, brought to the disk where it can be, and read back."""
        intent = _document_intent("ACTION_CREATE_DOCUMENT")
        intent.putExtra(java("android.content.Intent").EXTRA_TITLE, name)

        def take(answer: Any) -> None:
            uri = answer.getData() if answer is not None else None
            if uri is None:
                on_end(NOT_THERE)
            else:
                _in_background(lambda: on_end(_save(source, uri)))

        ask_application(intent, take)


def _document_intent(action: str) -> Any:
    intents = java("android.content.Intent")
    intent = intents(getattr(intents, action))
    intent.addCategory(intents.CATEGORY_OPENABLE)
    intent.setType(ANY_KIND)
    return intent


def _in_background(job: Callable[[], None]) -> None:
    def run() -> None:
        try:
            job()
        finally:
            leave_java()

    threading.Thread(target=run, name="files", daemon=True).start()


def _copy_in(uri: Any) -> Path | None:
    """A copy in the application's own folder, in place of the one of before; None where it cannot be read."""
    folder = data_folder() / INCOMING
    shutil.rmtree(folder, ignore_errors=True)
    make_folder(folder)
    copy = folder / "file"
    try:
        with _opened(uri, "r") as given, copy.open("xb") as out:
            shutil.copyfileobj(given, out, CHUNK_BYTES)
    except (OSError, FacilityError):
        shutil.rmtree(folder, ignore_errors=True)
        return None
    return copy


def _save(source: Path, uri: Any) -> str:
    """Write and compare; "" or one sentence."""
    try:
        wanted = _sha256(source.open("rb"))
        with source.open("rb") as content, _opened(uri, "wt") as out:
            shutil.copyfileobj(content, out, CHUNK_BYTES)
            out.flush()
            with contextlib.suppress(OSError):  # a pipe to another application has no disk
                os.fsync(out.fileno())
        with _opened(uri, "r") as written:
            is_whole = _sha256(written) == wanted
    except (OSError, FacilityError) as error:
        return f"The file cannot be saved there ({getattr(error, 'strerror', None) or error}); choose another place."
    return "" if is_whole else "The file was saved, but reads differently there; save it once more in another place."


def _sha256(content: BinaryIO) -> str:
    with content:
        return hashlib.file_digest(content, "sha256").hexdigest()


@contextlib.contextmanager
def _opened(uri: Any, mode: str) -> Iterator[BinaryIO]:
    """The document as a file of Python's; FacilityError where Android refuses it."""
    try:
        descriptor = activity().getContentResolver().openFileDescriptor(uri, mode)
    except java_exception() as reason:
        raise FacilityError("Android refuses it") from reason
    if descriptor is None:
        raise FacilityError("Android knows nothing of it")
    with os.fdopen(descriptor.detachFd(), "rb" if mode == "r" else "wb") as file:
        yield file
