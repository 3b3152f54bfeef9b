"""CODA TB DREAM's layout with synthetic coughs."""

import pytest

from core.audio import write_wav
from distill.probes.synthetic_cohorts import tb_cohort


def _write_coda(folder, n_people: int, n_coughs: int, countries: tuple[str, ...]):
    """CODA TB DREAM's layout with synthetic coughs, and a country a person where there are any."""
    clinical, additional, coughs = ["participant,sex,tb_status"], ["participant,Country"], ["participant,filename"]
    (folder / "solicited_data").mkdir()
    for number, recording in enumerate(tb_cohort(n_people, n_coughs)):
        person = recording.subject_id
        write_wav(folder / "solicited_data" / f"{number}.wav", recording.waveform)
        coughs.append(f"{person},{number}.wav")
        if number % n_coughs == 0:
            clinical.append(f"{person},Male,{recording.label:.0f}")
            additional.append(f"{person},{countries[number // n_coughs // 2 % len(countries)]}" if countries else "")
    for name, lines in (
        ("CODA_TB_Clinical_Meta_Info", clinical),
        ("CODA_TB_additional_variables_train", additional),
        ("CODA_TB_Solicited_Meta_Info", coughs),
    ):
        (folder / f"{name}.csv").write_text("\n".join(lines))
    return folder


@pytest.fixture
def write_coda(tmp_path):
    """Writes people, coughs a person, and a country a person where countries are given; returns the folder."""
    return lambda *facts: _write_coda(tmp_path, *facts)
