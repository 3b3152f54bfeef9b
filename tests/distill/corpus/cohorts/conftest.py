"""Miniature layouts of published data sets."""

import numpy as np
import pytest

from core.audio import write_wav


def _write(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, int):  # a seed: a second of noise
            write_wav(path, 0.1 * np.random.default_rng(content).standard_normal(16_000).astype(np.float32))
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


@pytest.fixture
def layout(tmp_path):
    """Writes files below a folder: text, bytes, or a second of noise for a seed."""
    return lambda files: _write(tmp_path, files)


CODA = {
    "meta_data/Clinical/CODA_TB_Clinical_Meta_Info.csv": (
        "\ufeffparticipant,sex,age,height,weight,tb_prior,fever,tb_status\r\n"
        "CODA_TB_0001,Male,34,170,60,No,Yes,1\r\n"
        "CODA_TB_0002,Female,51,158,55,Not sure,No,0\r\n"
    ),
    "meta_data/Clinical/CODA_TB_additional_variables_train.csv": (
        "participant,Country,HIVstatus,Microbiologicreferencestandard\n"
        "CODA_TB_0001,UG,Negative,TB Positive\nCODA_TB_0002,VN,Positive,TB Negative\n"
    ),
    "meta_data/Cough Metadata/CODA_TB_Solicited_Meta_Info.csv": (
        "participant,filename,sound_prediction_score\n"
        "CODA_TB_0001,1600000000001-recording-1.wav,0.98\n"
        "CODA_TB_0001,1600000000002-recording-1.wav,0.91\n"
        "CODA_TB_0002,1600000000003-recording-1.wav,0.99\n"
    ),
    "raw_data/solicited_data/1600000000001-recording-1.wav": 1,
    "raw_data/solicited_data/1600000000002-recording-1.wav": 2,
    "raw_data/solicited_data/1600000000003-recording-1.wav": 3,
}


@pytest.fixture
def coda(layout):
    """CODA TB DREAM with two people and three coughs; changes replace files."""
    return lambda **changes: layout({**CODA, **changes.get("files", {})})
