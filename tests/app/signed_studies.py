"""Writes signed study files for tests: the practice study in earnest, changed as a test wants it."""

import base64
import copy
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.study import PRACTICE_STUDY
from core.bundle_files import SIGNATURE_FILE, archive_content
from core.signing import SCHEMA, PublicKey

SIGNING_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
FIELDS = json.loads((PRACTICE_STUDY / "study.json").read_text(encoding="utf-8"))


def signature_over(content: bytes, key: Ed25519PrivateKey = SIGNING_KEY) -> bytes:
    """The content of the file SIGNATURE."""
    signer = PublicKey(key.public_key().public_bytes_raw())
    value = base64.b64encode(key.sign(content)).decode()
    return json.dumps({"schema": SCHEMA, "signer": signer.line, "signature": value}).encode()


def study_members(
    edit: Callable[[dict[str, Any]], object] = lambda fields: None,
    consent: dict[str, str] | None = None,
    key: Ed25519PrivateKey = SIGNING_KEY,
) -> dict[str, bytes]:
    """The files of a signed study by their names; `edit` changes study.json, `consent` replaces texts by language."""
    fields = copy.deepcopy(FIELDS) | {"id": "cough_study", "is_practice": False, "id_pattern": "CG-####-*"}
    texts = {path: (PRACTICE_STUDY / path).read_bytes() for path in fields["files"]}
    texts |= {f"consent/{language}.txt": text.encode() for language, text in (consent or {}).items()}
    fields["files"] = {path: hashlib.sha256(text).hexdigest() for path, text in texts.items()}
    edit(fields)
    content = json.dumps(fields).encode()
    return {"study.json": content, SIGNATURE_FILE: signature_over(content, key), **texts}


def write_study(path: Path, handover_public_key: bytes | None = None, **changes: Any) -> Path:
    """Write a signed study file; `changes` replace fields of study.json."""

    def edit(fields: dict[str, Any]) -> None:
        if handover_public_key is not None:
            fields["handover_public_key"] = base64.b64encode(handover_public_key).decode()
        fields |= changes

    path.write_bytes(archive_content(study_members(edit)))
    return path
