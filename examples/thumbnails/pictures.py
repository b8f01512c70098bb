"""Pictures to make thumbnails of, and thumbnails on a terminal."""

import colorsys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw
from rich.style import Style
from rich.text import Text

_SIZES = ((800, 600), (600, 800), (900, 400), (500, 500))
_COLUMNS, _ROWS = 10, 5
"""Of one picture on a terminal, which shows two points in each place, one above the other."""


def make_pictures(folder: Path, number: int) -> list[Path]:
    """Draw this many pictures, landscapes and portraits, each in colours of its own."""
    made = []
    for place in range(number):
        path = folder / f"picture-{place:04}.jpg"
        _draw(_SIZES[place % len(_SIZES)], place / number).save(path, "JPEG", quality=85)
        made.append(path)
    return made


def side_by_side(thumbnails: Sequence[Path]) -> Text:
    """Return thumbnails as coloured half blocks."""
    cells = [_fitted(path) for path in thumbnails]
    text = Text()
    for row in range(0, 2 * _ROWS, 2):
        for cell in cells:
            for column in range(_COLUMNS):
                above, below = cell.getpixel((column, row)), cell.getpixel((column, row + 1))
                text.append("▀", Style(color=_hex(above), bgcolor=_hex(below)))
            text.append("  ")
        text.append("\n")
    return text


def _draw(size: tuple[int, int], hue: float) -> Image.Image:
    """A sky that fades, a sun, hills."""
    width, height = size
    sky = Image.linear_gradient("L").resize(size)
    picture = Image.composite(Image.new("RGB", size, _rgb(hue, 0.3)), Image.new("RGB", size, _rgb(hue, 0.9)), sky)
    draw = ImageDraw.Draw(picture)
    radius = min(size) // 6
    centre = (width * (0.2 + 0.6 * hue), height * 0.35)
    draw.circle(centre, radius, _rgb(hue + 0.1, 0.2))
    for hill in range(3):
        top, left = height * (0.6 + 0.12 * hill), width * (0.35 * hill - 0.3)
        draw.ellipse((left, top, left + width * 0.9, height * 1.6), _rgb(hue + 0.4, 0.5 + 0.2 * hill, 0.6))
    return picture


def _fitted(path: Path) -> Image.Image:
    with Image.open(path) as opened:
        return opened.convert("RGB").resize((_COLUMNS, 2 * _ROWS))


def _rgb(hue: float, saturation: float, value: float = 1.0) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, min(saturation, 1.0), value)
    return int(red * 255), int(green * 255), int(blue * 255)


def _hex(point: object) -> str:
    assert isinstance(point, tuple)
    return "#{:02x}{:02x}{:02x}".format(*point)
