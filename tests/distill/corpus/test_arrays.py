import io
import zipfile

import numpy as np
import pytest

from core.errors import DataError
from distill.corpus.arrays import read_npy, read_npz

VALUES = np.arange(6.0).reshape(2, 3)


def npy_bytes(array=VALUES, **header):
    """An array as a .npy file, whose header may claim something else."""
    content = io.BytesIO()
    facts = {"descr": "<f8", "fortran_order": False, "shape": array.shape} | header
    np.lib.format.write_array_header_1_0(content, facts)
    return content.getvalue() + array.tobytes()


def npz_of(path, content, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("values.npy", content)
    return path


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_writes_is_read(tmp_path, save):
    np.save(tmp_path / "a.npy", VALUES)
    save(tmp_path / "a.npz", values=VALUES, name=np.array("x"))
    assert (read_npy(tmp_path / "a.npy", "does not hold values") == VALUES).all()
    read = read_npz(tmp_path / "a.npz", ("values",), "does not hold values", optional=("name", "absent"))
    assert (read["values"] == VALUES).all() and str(read["name"]) == "x" and set(read) == {"values", "name"}
    assert set(read_npz(tmp_path / "a.npz", None, "does not hold values")) == {"values", "name"}


DAMAGED = {
    "claims too much": npy_bytes(shape=(10**12,)),
    "claims more than can be": npy_bytes(shape=(2**62, 2**62)),
    "claims fewer than none": npy_bytes(shape=(-1, 3)),
    "ends early": npy_bytes()[:-1],
    "goes on": npy_bytes() + b"x",
    "pickled": npy_bytes(descr="|O"),
    "no type": npy_bytes(descr="what"),
    "no header": npy_bytes().replace(b"descr", b"\xff(((("),
    "no array": b"something else",
    "empty": b"",
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_array_is_refused_with_one_sentence(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npy does not hold offsets: .+") as refused:
        read_npy(tmp_path / "a.npy", "does not hold offsets")
    assert "\n" not in str(refused.value)
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with pytest.raises(DataError, match=r"a\.npz does not hold offsets: .+"):
            read_npz(npz_of(tmp_path / "a.npz", content, method), ("values",), "does not hold offsets")


def test_a_damaged_archive_is_refused(tmp_path):
    path = npz_of(tmp_path / "a.npz", npy_bytes())
    whole = path.read_bytes()
    for content in (whole[:-30], b"", whole.replace(VALUES.tobytes()[-8:], b"altered.", 1)):
        path.write_bytes(content)
        with pytest.raises(DataError, match="does not hold values"):
            read_npz(path, ("values",), "does not hold values")
    with pytest.raises(DataError, match="does not hold values"):
        read_npz(npz_of(path, npy_bytes(), zipfile.ZIP_LZMA), ("values",), "does not hold values")
    with pytest.raises(DataError, match=r"absent\.npz does not hold values: No such file"):
        read_npz(tmp_path / "absent.npz", ("values",), "does not hold values")
    with pytest.raises(DataError, match="does not hold values"):
        read_npz(npz_of(path, npy_bytes()), ("others",), "does not hold values")
