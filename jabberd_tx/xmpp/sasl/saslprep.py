"""SASLprep (RFC 4013): how user names and passwords are made comparable."""

from __future__ import annotations

import stringprep
from unicodedata import ucd_3_2_0

_PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def saslprep(text: str, stored: bool = True) -> str:
    """The prepared form; may be empty.

    `stored`: code points that Unicode 3.2 does not assign are refused (RFC 3454 §7), as RFC 5802 asks for
    passwords; for a user name to be looked up they are let through.  Raises ValueError; the text is not in the error.
    """
    if text.isascii() and text.isprintable():
        return text
    mapped = ''.join(
        ' ' if stringprep.in_table_c12(char) else char for char in text if not stringprep.in_table_b1(char)
    )
    prepared = ucd_3_2_0.normalize('NFKC', mapped)
    for char in prepared:
        if any(prohibited(char) for prohibited in _PROHIBITED):
            raise ValueError('a character that SASLprep prohibits')
        if stored and stringprep.in_table_a1(char):
            raise ValueError('a character that Unicode 3.2 does not have')
    _check_direction(prepared)
    return prepared


def _check_direction(text: str) -> None:
    """RFC 3454 §6: text with a right-to-left character begins and ends with one, and has no left-to-right one."""
    if any(map(stringprep.in_table_d1, text)) and not (
        stringprep.in_table_d1(text[0])
        and stringprep.in_table_d1(text[-1])
        and not any(map(stringprep.in_table_d2, text))
    ):
        raise ValueError('a mix of writing directions that SASLprep prohibits')
