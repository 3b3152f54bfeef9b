"""Asks about each event label of packs of recordings, of those alone that the student was not to learn from."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.bundle import Bundle
from core.errors import DataError
from core.files import sha256_of_file
from core.probes import spoken_reasons
from core.screener import Screener
from core.screening.journal import Journal
from distill.corpus.labels import holds_event
from distill.corpus.manifests import ManifestRow, build_manifest
from distill.corpus.tables import listed, parsed_number, read_table
from distill.corpus.waveform_store import WaveformStore
from distill.evaluation.report.items import Item, Question
from distill.evaluation.report.leaks import Identity
from distill.evaluation.report.scores import go_through

HELD_OUT = "held-out subjects"  # of the packs that were learnt from


@dataclass(frozen=True)
class Asked:
    """The questions of a report, and whose recordings are on both sides: ``training`` and ``test``."""

    questions: Sequence[Question]
    training: Sequence[Identity]
    test: Sequence[Identity]


def ask_packs(screener: Screener, data: Path, packs: Sequence[str], store: Path | None, journal: Journal) -> Asked:
    """Screen the held-out recordings of packs, and make a question of each label that they have.

    Parameters
    ----------
    screener : Screener
        With the bundle to judge.
    data : folder of packs
    packs : names of some of them; all where there are none
    store : folder of a waveform store, where one sound in two files is looked for; None for equal files alone
    journal : Journal
        Of what was screened.

    Raises
    ------
    DataError
        If there is no such pack, or nothing in it is held out.
    AudioError
        If a recording cannot be read.
    """
    manifest = [row for row in build_manifest(data) if row.labelled]
    if unknown := sorted(set(packs) - {row.pack for row in manifest}):
        raise DataError(f"{data} has no labelled pack {unknown[0]!r}; it has {listed({r.pack for r in manifest})}")
    chosen = [row for row in manifest if row.role in ("validation", "test") and (not packs or row.pack in packs)]
    if not chosen:
        raise DataError(f"no labelled recording of {data} is held out: each was learnt from")
    covariates = {pack: _covariates_of(data / pack) for pack in {row.pack for row in manifest}}
    paths, asked = [data / row.path for row in chosen], f"events of {screener.bundle.sha256}"
    found = go_through(paths, _screened_by(screener), asked, journal, "screening", is_sound_hashed=False)
    learnt = [row for row in manifest if row.role == "train" and _was_learnt_from(screener.bundle, row)]
    sounds = {} if store is None else _sounds_of(WaveformStore.open(store))

    def identities(rows: Sequence[ManifestRow]) -> list[Identity]:
        return [_identity(row, sha256_of_file(data / row.path), sounds, covariates[row.pack][row.path]) for row in rows]

    about = [covariates[row.pack][row.path] for row in chosen]
    return Asked(_questions(screener.bundle, chosen, found, about), identities(learnt), identities(chosen))


def _questions(
    bundle: Bundle,
    rows: Sequence[ManifestRow],
    found: Sequence[Mapping[str, Any]],
    about: Sequence[Mapping[str, str]],
) -> list[Question]:
    """One for each label and each part: the held-out people of all training packs together, each test pack alone."""
    parts = [HELD_OUT if row.role == "validation" else row.pack for row in rows]
    questions = []
    for part in dict.fromkeys(sorted(parts, key=lambda name: name != HELD_OUT)):
        places = [i for i, name in enumerate(parts) if name == part]
        for label in bundle.event_labels:
            items = [
                _item(rows[i], found[i], about[i], label)
                for i in places
                if holds_event(rows[i].labels, label) is not None
            ]
            if any(item.is_positive for item in items):
                questions.append(Question(label, part, items, bundle.screening.event_thresholds[label]))
    return questions


def _item(row: ManifestRow, facts: Mapping[str, Any], cells: Mapping[str, str], label: str) -> Item:
    scores = facts["answer"]["scores"]
    channel = dict(facts["channel"])
    if (native_hz := parsed_number(cells.get("native_sr", ""))) > 0:
        channel["sample_rate_before_hz"] = native_hz
    return Item(
        path=row.path,
        subject_id=row.subject_id,
        is_positive=bool(holds_event(row.labels, label)),
        score=None if scores is None else scores[label],
        unscored="" if scores is not None else facts["answer"]["reason"],
        covariates={**cells, "pack": row.pack},
        channel=channel,
    )


def _identity(row: ManifestRow, sha256: str, sounds: Mapping[str, str], cells: Mapping[str, str]) -> Identity:
    return Identity(
        subject=row.subject_id,
        source=row.source_id,
        file=sha256,
        sound=sounds.get(row.path, ""),
        site=cells.get("site", ""),
        device=cells.get("device", ""),
    )


def _screened_by(screener: Screener) -> Any:
    """What answers for a recording: the highest probability of each label, as people get it."""

    def answer(path: Path) -> dict[str, Any]:
        screening = screener.screen(path)
        scores = None if screening.event_scores is None else dict(screening.event_scores)
        return {"scores": scores, "reason": spoken_reasons(screening.quality)}

    return answer


def _sounds_of(store: WaveformStore) -> dict[str, str]:
    """Hash of the samples of each recording of a store that is not silent, by its path."""
    return {
        row.path: hashlib.sha256(store.waveform(i)).hexdigest()
        for i, row in enumerate(store.rows)
        if store.waveform(i).any()
    }


def _was_learnt_from(bundle: Bundle, row: ManifestRow) -> bool:
    """Whether the bundle names the pack as one that it learnt from; one that names none may have learnt from all."""
    packs = bundle.provenance.get("packs")
    names = [pack.get("name") for pack in packs if isinstance(pack, dict)] if isinstance(packs, list) else []
    return not names or row.pack in names


def _covariates_of(folder: Path) -> dict[str, Mapping[str, str]]:
    """The cells of a pack's table by the recording's path in the data folder."""
    rows = read_table(folder / "manifest.csv", ("path",), others=True)
    return {f"{folder.name}/{row.relative_path('path')}": dict(row) for row in rows}
