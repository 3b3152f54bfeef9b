"""The pictures of coughs in time, as numbers and drawn offscreen."""

import numpy as np
import pytest


def instructions(widget) -> int:
    return len(list(widget.canvas.children))


def test_marks_lie_where_the_coughs_are_and_touching_ones_are_one(drawing_surface):
    from app.widgets.charts import merged_marks

    assert merged_marks([(1.0, 2.0), (5.0, 6.0)], 10.0, 100.0, 3.0) == [(10.0, 20.0), (50.0, 60.0)]
    assert merged_marks([(5.0, 6.0), (1.0, 2.0), (1.9, 3.0)], 10.0, 100.0, 3.0) == [(10.0, 30.0), (50.0, 60.0)]


def test_a_cough_that_is_too_short_to_see_or_at_the_very_end_has_a_mark_inside_the_strip(drawing_surface):
    from app.widgets.charts import merged_marks

    assert merged_marks([(0.0, 0.01)], 1200.0, 300.0, 3.0) == [(0.0, 3.0)]
    assert merged_marks([(1200.0, 1200.5)], 1200.0, 300.0, 3.0) == [(297.0, 300.0)]
    assert merged_marks([], 10.0, 100.0, 3.0) == []


@pytest.mark.parametrize("n_coughs", [1, 1000])
def test_a_strip_is_as_few_instructions_for_a_thousand_coughs_as_for_one(stage, n_coughs):
    from app.widgets.charts import CoughStrip

    spans_s = [(i * 1.2, i * 1.2 + 0.3) for i in range(n_coughs)]
    strip = CoughStrip(duration_s=1200.0, spans_s=spans_s)
    stage.show(strip)
    assert 0 < instructions(strip) <= 8


def test_the_strip_shows_a_mark_in_the_half_of_the_recording_in_which_the_cough_was(stage, tmp_path):
    from app.widgets.charts import CoughStrip

    strip = CoughStrip(duration_s=10.0, spans_s=[(7.0, 8.0)])
    stage.show(strip)
    row = picture_of(strip, tmp_path / "strip.png")[320]
    dark = np.flatnonzero(row < 120)
    assert dark.min() == pytest.approx(0.7 * 360, abs=2) and dark.max() == pytest.approx(0.8 * 360, abs=2)


def test_a_bar_is_as_high_as_its_hour_had_coughs_and_an_hour_without_any_has_a_thin_one(stage, tmp_path):
    from app.widgets.charts import HourBars

    bars = HourBars(counts=[0, 5, 10], first_hour=22)
    stage.show(bars)
    picture = picture_of(bars, tmp_path / "bars.png")
    heights = [int((picture[:, 120 * i + 25] < 120).sum()) for i in range(3)]
    assert heights[0] <= 4
    assert heights[2] / heights[1] == pytest.approx(2.0, abs=0.05)


def test_a_day_of_hours_has_few_names_and_an_empty_one_draws_nothing(stage):
    from app.widgets.charts import HourBars

    bars = HourBars(counts=[])
    stage.show(bars)
    assert instructions(bars) == 0
    bars.counts = list(range(24))
    stage.draw()
    assert 0 < instructions(bars) < 60


def picture_of(widget, path) -> np.ndarray:
    """Brightness of the picture, shape (height, width)."""
    from kivy.core.image import Image

    widget.export_to_png(str(path))
    data = Image(str(path), keep_data=True).image._data[0]
    pixels = np.frombuffer(data.data, np.uint8).reshape(data.height, data.width, -1).astype(int)
    return np.where(pixels[..., 3] < 128, 255, pixels[..., :3].mean(axis=2))
