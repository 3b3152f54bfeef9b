"""Tells which characters of a text the window's font cannot show, without reading the font."""

from bisect import bisect_right

# Code points, in hexadecimal, that all of Kivy's Roboto faces have (regular, bold, italic, bold italic) and that leave
# something to see or a space. tests/app/test_font_characters.py makes the same of the font files.
RUNS = """
20-7E A0-AC AE-17F 18F-18F 192-192 1A0-1A1 1AF-1B0 1F0-1F0 1FA-1FF 218-21B 237-237 259-259 2BC-2BC 2C6-2C7 2C9-2C9
2D8-2DD 2F3-2F3 300-301 303-303 309-309 30F-30F 323-323 384-38A 38C-38C 38E-3A1 3A3-3CE 3D1-3D2 3D6-3D6 400-486
488-513 1E00-1E01 1E3E-1E3F 1E80-1E85 1EA0-1EF9 1F4D-1F4D 2010-2011 2013-2015 2017-201E 2020-2022 2025-2027 2030-2030
2032-2033 2039-203A 203C-203C 2044-2044 2074-2074 207F-207F 20A3-20A4 20A6-20AC 20B1-20B1 20B9-20BA 20BC-20BD
2105-2105 2113-2113 2116-2116 2122-2122 2126-2126 212E-212E 215B-215E 2202-2202 2206-2206 220F-220F 2211-2212
221A-221A 221E-221E 222B-222B 2248-2248 2260-2260 2264-2265 25CA-25CA FB01-FB04
"""
RANGES = [tuple(int(end, 16) for end in run.split("-")) for run in RUNS.split()]
STARTS = [first for first, _ in RANGES]


def missing_characters(text: str) -> list[str]:
    """The characters of a text that would be shown as an empty box or not at all, each once; a line feed is none."""
    return [character for character in dict.fromkeys(text) if character != "\n" and not _has(ord(character))]


def _has(code_point: int) -> bool:
    place = bisect_right(STARTS, code_point) - 1
    return place >= 0 and code_point <= RANGES[place][1]
