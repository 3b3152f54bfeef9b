"""Results of a GPU machine: cut into chunks, joined again, and made into what distillation reads."""

from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from core.errors import DataError
from distill.corpus.manifests import ManifestRow, write_manifest
from distill.corpus.waveform_store import WaveformStore
from distill.distillation.teachers import load_teacher
from distill.models.encoder import SIZES, Encoder
from distill.offline_gpu import results
from distill.offline_gpu.results import app, collect, join, write_results
from distill.offline_gpu.stages import save_weights


def files_of(folder: Path, sizes: dict[str, int]) -> dict[str, Path]:
    folder.mkdir()
    generator = np.random.default_rng(0)
    for name, size in sizes.items():
        (folder / name).write_bytes(generator.bytes(size))
    return {name: folder / name for name in sizes}


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "MAX_CHUNK_MIB", 1)


def test_files_come_back_byte_for_byte_from_chunks_of_limited_size(tmp_path: Path, small_chunks: None) -> None:
    files = files_of(tmp_path / "made", {"a_log.jsonl": 0, "b_targets.npz": 2_500_000, "c_x.json": 77})
    index = write_results(files, tmp_path / "out", max_mib=60)
    assert [chunk.bytes for chunk in index.chunks] == [2**20, 2**20, 2_500_077 - 2**21]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "index.json", "results_0.bin", "results_1.bin", "results_2.bin"]  # fmt: skip
    for path in join(tmp_path / "out", tmp_path / "joined"):
        assert path.read_bytes() == files[path.name].read_bytes()


def test_what_does_not_fit_stays_and_is_named(tmp_path: Path, small_chunks: None) -> None:
    sizes = {"a_targets.npz": 900_000, "b_weights.npz": 9_000_000, "c_log.jsonl": 500_000}
    index = write_results(files_of(tmp_path / "made", sizes), tmp_path / "out", max_mib=60)
    assert [file.name for file in index.files] == ["a_targets.npz", "c_log.jsonl"]
    assert index.left == ("b_weights.npz",)
    fewer = write_results({"c_log.jsonl": tmp_path / "made" / "c_log.jsonl"}, tmp_path / "out", max_mib=60)
    assert len(fewer.chunks) == len(list((tmp_path / "out").glob("results_*.bin"))) == 1


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda out: (out / "results_1.bin").unlink(), "results_1.bin is missing"),
        (lambda out: (out / "results_0.bin").write_bytes(b"x" * 2**20), "results_0.bin is not as it was written"),
        (lambda out: (out / "results_1.bin").write_bytes(b"x"), "results_1.bin is not as it was written"),
        (lambda out: (out / "index.json").write_text("{}"), "is not an index of results"),
        (lambda out: (out / "index.json").unlink(), "is not an index of results"),
        (
            lambda out: (out / "index.json").write_text((out / "index.json").read_text().replace("a_x", "../a_x")),
            "is not an index of results",
        ),
    ],
)
def test_a_chunk_or_index_that_was_changed_is_refused(tmp_path: Path, small_chunks: None, spoil, sentence: str) -> None:
    write_results(files_of(tmp_path / "made", {"a_x.json": 1_500_000}), tmp_path / "out", max_mib=60)
    spoil(tmp_path / "out")
    result = CliRunner().invoke(app, ["join", str(tmp_path / "out"), "--out", str(tmp_path / "joined")])
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "joined").exists()


def test_the_largest_teachers_targets_come_first_and_then_the_smallest_weights(tmp_path: Path) -> None:
    for size in ("large", "small"):
        (tmp_path / size).mkdir()
        for name in ("log.jsonl", "targets.npz", "views.npz", "weights.npz", "reconstructions_0000002.png"):
            (tmp_path / size / name).write_bytes(b"x")
    (tmp_path / "report.json").write_bytes(b"x")
    names = list(collect(tmp_path, ["large", "small"]))
    expected = "large_targets small_weights large_views small_views small_targets"
    assert [name.removesuffix(".npz") for name in names if name.endswith(".npz")] == expected.split()
    assert names.index("report.json") < names.index("large_targets.npz") > names.index("small_log.jsonl")


@pytest.mark.long
def test_weights_that_came_back_are_a_teacher_that_embeds_as_before(tmp_path: Path) -> None:
    from distill.checkpoints import save_checkpoint

    torch.manual_seed(0)
    encoder = Encoder(SIZES["tiny"])
    state = {f"encoder.{name}": value for name, value in encoder.state_dict().items()} | {"decoder.x": torch.zeros(1)}
    (tmp_path / "run" / "small").mkdir(parents=True)
    settings = {"model": {"size": "tiny"}}
    save_checkpoint(tmp_path / "run" / "small" / "final.pt", model_state=state, training_state={"step": 3},
                    settings=settings, provenance={"commit": "c"})  # fmt: skip
    save_weights(tmp_path / "run", "small")
    write_results(collect(tmp_path / "run", ["small"]), tmp_path / "out", max_mib=60)
    result = CliRunner().invoke(app, ["join", str(tmp_path / "out"), "--out", str(tmp_path / "joined")])
    assert result.exit_code == 0, result.output
    there, here = (
        load_teacher(f"mae:{path}") for path in (tmp_path / "run/small/final.pt", tmp_path / "joined/small.pt")
    )
    waveforms = 0.1 * torch.randn(2, 32_000)
    before, after = there.embed(waveforms), here.embed(waveforms)
    assert torch.cosine_similarity(before, after).min() > 0.9999


def test_targets_are_put_in_the_order_of_another_store(tmp_path: Path) -> None:
    rows = [ManifestRow(f"a/{n}.wav", "a", "s", f"p{n}", 1.0, (), None, "CC0", "train", False) for n in range(3)]
    lengths = [20_000, 60_000, 33_000]
    np.concatenate([np.full(n, 5, np.int16) for n in lengths]).tofile(tmp_path / "waveforms.i16")
    np.save(tmp_path / "offsets.npy", np.concatenate([[0], np.cumsum(lengths)]))
    write_manifest(rows, tmp_path / "manifest.csv")
    store = WaveformStore.open(tmp_path)
    from distill.distillation.targets import all_crops

    keys = [(store.rows[row].path, offset) for row, offset in all_crops(store)]
    shuffled = np.random.default_rng(0).permutation(len(keys))
    content = {
        "path": np.array([keys[i][0] for i in shuffled]),
        "offset": np.array([keys[i][1] for i in shuffled]),
        "values": shuffled[:, None].astype(np.float16),
        "teacher": np.array("mae:abc"),
    }
    np.savez(tmp_path / "large_targets.npz", **content)
    results.save_targets(tmp_path / "large_targets.npz", store, tmp_path / "targets")
    with np.load(tmp_path / "targets" / "embeddings.npz") as saved:
        assert saved["values"][:, 0].tolist() == list(range(len(keys)))
        assert str(saved["teacher"]) == "mae:abc"
    np.savez(tmp_path / "large_targets.npz", **{k: v[1:] if v.ndim else v for k, v in content.items()})
    with pytest.raises(DataError, match="lacks 1 of"):
        results.save_targets(tmp_path / "large_targets.npz", store, tmp_path / "targets")
