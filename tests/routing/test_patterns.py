"""Patterns of addresses and names: what they match."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jabberd_tx.routing.patterns import LONGEST, Addresses, Names, glob
from jabberd_tx.xmpp.jid import parse


@pytest.mark.parametrize(
    ('pattern', 'matched', 'others'),
    [
        ('example.net', ['example.net', 'romeo@example.net', 'romeo@example.net/a'], ['a.example.net', 'example.nett']),
        ('Romeo@Example.NET', ['romeo@example.net', 'romeo@example.net/a'], ['example.net', 'juliet@example.net']),
        ('romeo@example.net/A', ['romeo@example.net/A'], ['romeo@example.net/a', 'romeo@example.net']),
        ('*.example.net', ['a.example.net', 'x@a.b.example.net/r'], ['example.net', 'a@example.net']),
        ('spam?@*', ['spam1@example.net', 'spamX@a.example/r'], ['spam@example.net', 'spam12@example.net']),
        ('*@example.net', ['romeo@example.net', 'romeo@example.net/a'], ['example.net', 'romeo@a.example.net']),
        ('*/bot', ['romeo@example.net/bot', 'example.net/bot'], ['romeo@example.net', 'romeo@example.net/bot2']),
        ('r[aeiou]meo@*', ['r[aeiou]meo@example.net'], ['romeo@example.net']),
        ('*', ['example.net', 'romeo@example.net/a'], []),
    ],
)
def test_what_a_pattern_of_addresses_matches(pattern: str, matched: list[str], others: list[str]) -> None:
    addresses = Addresses([pattern])
    assert [text for text in [*matched, *others] if addresses.has(parse(text))] == matched


def test_without_patterns_everybody_is_meant_and_with_several_whom_any_of_them_matches() -> None:
    assert Addresses([]).has(parse('example.net')) and not Addresses([])
    several = Addresses(['example.org', '*.example.net'])
    assert several.has(parse('a@example.org')) and several.has(parse('b.example.net'))
    assert not several.has(parse('example.net'))


@pytest.mark.parametrize('text', ['', '@example.net', 'a@b@c', 'romeo@', 'x' * (LONGEST + 1), 'a b@example.net'])
def test_what_is_neither_an_address_nor_a_pattern_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match='expected an address or a pattern'):
        Addresses([text])


def test_names_match_whole_and_without_patterns_none_does() -> None:
    names = Names(['c2s-*', 'sm-a?', 'Bridge'])
    assert [name for name in ('c2s-a7', 'xc2s-a', 'sm-a1', 'sm-a', 'bridge', 'bridge2') if names.has(name)] == [
        'c2s-a7', 'sm-a1', 'bridge',
    ]  # fmt: skip
    assert not Names([]).has('c2s-a7')


@pytest.mark.fuzz
@given(st.text(alphabet='*?ab.[]^$\\\n'), st.text(alphabet='ab.[]^$\\\n'))
def test_a_pattern_is_a_row_of_pieces_in_that_order(pattern: str, text: str) -> None:
    """The plainest way to tell: eat the text piece by piece, with every length that a star may have."""

    def eats(pieces: str, rest: str) -> bool:
        if not pieces:
            return not rest
        if pieces[0] == '*':
            return any(eats(pieces.lstrip('*'), rest[at:]) for at in range(len(rest) + 1))
        return bool(rest) and pieces[0] in ('?', rest[0]) and eats(pieces[1:], rest[1:])

    shorter = re.sub(r'\*+', '*', pattern)[:12]
    assert (glob(shorter).fullmatch(text[:12]) is not None) == eats(shorter, text[:12])
