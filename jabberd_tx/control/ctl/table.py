"""Tables of text."""

from __future__ import annotations

import re
from collections.abc import Sequence

_NUMBER = re.compile(r'(\d[\d.]*( \w+| %)?)?')


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The rows below their headings, in columns as wide as they need; numbers stand to the right."""
    columns = [list(column) for column in zip(headings, *rows, strict=True)]
    widths = [max(map(len, column)) for column in columns]
    right = [bool(rows) and all(_is_number(cell) for cell in column[1:]) for column in columns]
    lines = []
    for row in (headings, *rows):
        cells = [
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ]
        lines.append('  '.join(cells).rstrip())
    return '\n'.join(lines)


def _is_number(cell: str) -> bool:
    """Whether it is one, with or without a unit, or nothing."""
    return _NUMBER.fullmatch(cell) is not None


def of_time(seconds: float) -> str:
    """'45 s', '12 min', '3.5 h', '12 d'."""
    for unit, size in (('d', 86400), ('h', 3600), ('min', 60)):
        if seconds >= 2 * size:
            number = seconds / size
            return f'{number:.0f} {unit}' if number >= 10 else f'{number:.1f} {unit}'
    return f'{seconds:.0f} s'


def of_bytes(number: float) -> str:
    """'17 B', '1.5 KiB', '78 MiB'."""
    for unit in ('B', 'KiB', 'MiB'):
        if number < 1024:
            return f'{number:.0f} {unit}' if number >= 10 or unit == 'B' else f'{number:.1f} {unit}'
        number /= 1024
    return f'{number:.1f} GiB'


def of_rate(number: float) -> str:
    """'0', '0.3', '12', '1400' a second."""
    return f'{number:.0f}' if number >= 10 or not number else f'{number:.1f}'
