"""The moving spectrogram, drawn offscreen and read back from the picture."""

import time

import numpy as np
import pytest


@pytest.fixture
def spectrogram(stage):
    from app.widgets.spectrogram import Spectrogram

    widget = Spectrogram()
    stage.show(widget)
    return widget


def drawn(widget, path) -> np.ndarray:
    """Brightness of the picture, shape (height, width), the highest band in the first row."""
    from kivy.core.image import Image

    widget.export_to_png(str(path))
    data = Image(str(path), keep_data=True).image._data[0]
    return np.frombuffer(data.data, np.uint8).reshape(data.height, data.width, -1)[..., :3].mean(axis=2)


def columns_with_a_loud_one(n_columns: int, loud_column: int, n_rows: int = 48) -> np.ndarray:
    levels = np.zeros((n_columns, n_rows), np.uint8)
    levels[loud_column, : n_rows // 2] = 255
    return levels


def test_the_newest_column_is_at_the_right_edge_with_low_bands_at_the_bottom(stage, spectrogram, tmp_path):
    spectrogram.push(columns_with_a_loud_one(10, 9))
    stage.draw()
    picture = drawn(spectrogram, tmp_path / "a.png")
    height, width = picture.shape
    assert picture[height * 3 // 4, width - 1] > 200
    assert picture[height // 4, width - 1] < 60
    assert picture[height * 3 // 4, : width // 2].max() < 60


@pytest.mark.parametrize("n_pushed", [1, 7, 300, 1000])
def test_a_column_moves_left_however_the_columns_arrive(stage, spectrogram, tmp_path, n_pushed):
    from app.widgets.spectrogram import N_COLUMNS

    sound = columns_with_a_loud_one(1500, 1500 - 1 - N_COLUMNS // 4)
    for start in range(0, len(sound), n_pushed):
        spectrogram.push(sound[start : start + n_pushed])
    stage.draw()
    picture = drawn(spectrogram, tmp_path / "a.png")
    loudest = int(picture[picture.shape[0] * 3 // 4].argmax())
    assert loudest / picture.shape[1] == pytest.approx(0.75, abs=0.01)


def test_clear_begins_an_empty_picture(stage, spectrogram, tmp_path):
    spectrogram.push(np.full((40, 48), 255, np.uint8))
    stage.draw()
    assert drawn(spectrogram, tmp_path / "a.png").max() > 200
    spectrogram.clear()
    stage.draw()
    assert drawn(spectrogram, tmp_path / "b.png")[12:-12, 12:-12].max() < 60  # inside the round corners


def test_a_louder_level_is_brighter_so_that_the_picture_reads_in_grey_print(stage, spectrogram, tmp_path):
    spectrogram.push(np.repeat(np.arange(0, 256, dtype=np.uint8)[:, None], 48, axis=1))
    stage.draw()
    row = drawn(spectrogram, tmp_path / "a.png")[320, 8:-8]
    assert np.all(np.diff(row) >= -1) and row[-1] - row[0] > 150


@pytest.mark.long
def test_a_phone_that_lost_the_texture_gets_the_same_picture_again(stage, spectrogram, tmp_path):
    from kivy.graphics.context import get_context

    spectrogram.push(columns_with_a_loud_one(100, 60))
    stage.draw()
    before = drawn(spectrogram, tmp_path / "a.png")
    texture = spectrogram._rectangle.texture
    texture.blit_buffer(bytes(256 * 64 * 3), size=(256, 64), colorfmt="rgb")
    stage.draw()
    assert not np.array_equal(drawn(spectrogram, tmp_path / "b.png"), before)
    get_context().reload()
    stage.draw()
    assert np.array_equal(drawn(spectrogram, tmp_path / "c.png"), before)


def test_an_hour_of_sound_costs_a_frame_no_more_than_its_first_minute(stage, spectrogram):
    block = np.random.default_rng(5).integers(0, 256, (4, 48), np.uint8)

    def push_ms(n_pushes: int) -> float:
        started_s = time.perf_counter()
        for _ in range(n_pushes):
            spectrogram.push(block)
        return 1000 * (time.perf_counter() - started_s) / n_pushes

    first_ms = push_ms(400)
    push_ms(4000)
    assert push_ms(400) < max(2.0, 3 * first_ms)
