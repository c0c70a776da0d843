"""Photos made small enough to be sent around: read and written by Pillow, in a thread."""

from __future__ import annotations

from io import BytesIO
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

FORMATS = ('PNG', 'JPEG', 'GIF', 'WEBP')
# What a few kilobytes may unpack to.
MOST_PIXELS = 25_000_000
QUALITIES = (85, 70, 50, 30)
SMALLEST = 32


class Photo(NamedTuple):
    """type: its media type."""

    data: bytes
    type: str


class UnusablePhoto(ValueError):
    """No image of a known format, or one that can't be made small enough.  str() says what."""


def shrink(data: bytes, most_bytes: int, side: int) -> Photo:
    """The image with at most `side` pixels a side in at most so many bytes, as PNG where it is partly transparent, as
    JPEG otherwise; an animated one stands still.  UnusablePhoto."""
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise UnusablePhoto('an image of too many pixels')
            image.draft('RGB', (side, side))
            see_through = image.mode in ('LA', 'PA', 'RGBA') or 'transparency' in image.info
            plain = image.convert('RGBA' if see_through else 'RGB')
    except UnusablePhoto:
        raise
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise UnusablePhoto('no image that can be read') from error
    while True:
        plain.thumbnail((side, side))
        for quality in (None,) if see_through else QUALITIES:
            out = BytesIO()
            if quality is None:
                plain.save(out, 'PNG', optimize=True)
            else:
                plain.save(out, 'JPEG', quality=quality, optimize=True)
            if out.tell() <= most_bytes:
                return Photo(out.getvalue(), 'image/png' if see_through else 'image/jpeg')
        side //= 2
        if side < SMALLEST:
            raise UnusablePhoto('an image that can not be made small enough')
