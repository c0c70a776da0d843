"""JIDs by RFC 7622."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jabberd_tx.testing import strategies
from jabberd_tx.xmpp import jid
from jabberd_tx.xmpp.jid import InvalidJid, Jid, parse


# RFC 7622 §3.5, table 1.
@pytest.mark.parametrize(
    ('text', 'local', 'domain', 'resource'),
    [
        ('juliet@example.com', 'juliet', 'example.com', ''),
        ('juliet@example.com/foo', 'juliet', 'example.com', 'foo'),
        ('juliet@example.com/foo bar', 'juliet', 'example.com', 'foo bar'),
        ('juliet@example.com/foo@bar', 'juliet', 'example.com', 'foo@bar'),
        (r'foo\20bar@example.com', r'foo\20bar', 'example.com', ''),
        ('fussball@example.com', 'fussball', 'example.com', ''),
        ('fu\u00dfball@example.com', 'fu\u00dfball', 'example.com', ''),
        ('\u03c0@example.com', '\u03c0', 'example.com', ''),
        ('\u03a3@example.com/foo', '\u03c3', 'example.com', 'foo'),
        ('\u03c3@example.com/foo', '\u03c3', 'example.com', 'foo'),
        ('\u03c2@example.com/foo', '\u03c2', 'example.com', 'foo'),
        ('king@example.com/\u265a', 'king', 'example.com', '\u265a'),
        ('example.com', '', 'example.com', ''),
        ('example.com/foobar', '', 'example.com', 'foobar'),
        ('a.example.com/b@example.net', '', 'a.example.com', 'b@example.net'),
        # not in table 2 since erratum 4560
        ('juliet@example.com/ foo', 'juliet', 'example.com', ' foo'),
    ],
)
def test_conforming(text: str, local: str, domain: str, resource: str) -> None:
    """Split and prepared part by part."""
    found = parse(text)
    assert (found.local, found.domain, found.resource) == (local, domain, resource)
    assert found.bare == (f'{local}@{domain}' if local else domain)
    assert str(found) == found.full == (f'{found.bare}/{resource}' if resource else found.bare)


# Table 2, and more of its kind.
@pytest.mark.parametrize(
    'text',
    [
        '"juliet"@example.com', 'foo bar@example.com', '@example.com/', '@example.com', 'example.com/',
        'henry\u2163@example.com', '\u265a@example.com', 'juliet@', '/foobar', '',
        'a&b@example.com', "a'b@example.com", 'a:b@example.com', 'a<b@example.com', 'a>b@example.com',
        'a@b@example.com', 'juliet@/x', '@', '/', '@/', '.', '..', 'a@.', 'a..b', '.a', 'a@b..', '-a.com', 'a-.com',
        'a b.com', 'exa_mple.com', 'xn--zz.com', '\u2603.com', 'xn--n3h.com', 'ab--c.com',
        '[::1', '::1]', '[]', '[127.0.0.1]', '[::1%eth0]', '[::1%25a@b]', '[::g]', 'x' * 64 + '.com',
        'a\x00@b.c', 'a@example.com/\x00', 'a@example.com/\u200b', 'a\u0378@example.com', '\u05d0a1@example.com',
        'a@example.com/\ud800', '\ud800@example.com', '\ud800.com', 'a\u0301\u0301@b/\x7f',
    ],
)  # fmt: skip
def test_not_conforming(text: str) -> None:
    """The excluded characters of §3.3.1, empty parts, what the profiles and IDNA do not allow."""
    with pytest.raises(InvalidJid):
        parse(text)


@pytest.mark.parametrize(
    ('text', 'full'),
    [
        ('JULIET@EXAMPLE.COM/Foo', 'juliet@example.com/Foo'),
        ('example.com.', 'example.com'),
        ('a@example.com./x', 'a@example.com/x'),
        ('\uff4aU\u0308@B\u00dcCHER.de', 'j\u00fc@b\u00fccher.de'),
        ('xn--bcher-kva.example', 'b\u00fccher.example'),
        ('XN--BCHER-KVA.Example', 'b\u00fccher.example'),
        ('a\u3002b\uff0ec\uff61', 'a.b.c'),
        ('fa\u00df.de', 'fa\u00df.de'),
        ('127.0.0.1', '127.0.0.1'),
        ('[::0001]', '[::1]'),
        ('a@[2001:DB8::1]/x', 'a@[2001:db8::1]/x'),
        ('a@b/\u3000x', 'a@b/ x'),
        ('a@b/e\u0301', 'a@b/\u00e9'),
        ('a@b/c/d/', 'a@b/c/d/'),
    ],
)
def test_preparation(text: str, full: str) -> None:
    """Case, width, normal form, A-labels, other dots, the trailing one, IP addresses."""
    assert parse(text).full == full


@pytest.mark.parametrize(('before', 'after'), [('', '@b'), ('a@b/', '')])
@pytest.mark.parametrize('character', ['x', '\u00e9', '\u6f22'])
def test_length_in_bytes(before: str, after: str, character: str) -> None:
    """1,023 bytes each part, whatever its characters."""
    most = 1023 // len(character.encode())
    assert len(parse(before + character * most + after).full) == most + len(before + after)
    with pytest.raises(InvalidJid):
        parse(before + character * (most + 1) + after)


def test_length_of_a_domain() -> None:
    """1,023 bytes too, of labels that may be."""
    label = 'x' * 63
    assert parse('.'.join([label] * 15)).domain == '.'.join([label] * 15)
    with pytest.raises(InvalidJid):
        parse('.'.join([label] * 17))


def test_what_is_far_too_long_is_not_prepared() -> None:
    """Megabytes cost nothing."""
    for text in ('\u00e9' * 10_000_000 + '@b', 'a@b/' + '\u00e9' * 10_000_000, '\u00e9' * 10_000_000):
        with pytest.raises(InvalidJid):
            parse(text)


def test_equal_by_what_is_prepared() -> None:
    """Two spellings are one JID, in sets too; a JID is no str."""
    assert parse('A@B/c') == parse('a@b/c') != parse('a@b/C')
    assert len({parse('A@B/c'), parse('a@b./c')}) == 1
    assert parse('a@b') != 'a@b'
    assert repr(parse('a@b')) == "Jid('a@b')"


def test_the_cache_is_bounded() -> None:
    """In number and in the length of what it keeps."""
    before = jid._cached.cache_info()
    parse('a@b/' + 'x' * jid.CACHED_LENGTH)
    assert jid._cached.cache_info().currsize == before.currsize
    assert before.maxsize == jid.CACHE
    assert parse('a@b.c/d') is parse('a@b.c/d')


@pytest.mark.fuzz
@given(strategies.jids)
def test_preparing_twice_changes_nothing(text: str) -> None:
    """A prepared JID is its own preparation."""
    try:
        once = parse(text)
    except InvalidJid:
        return
    assert parse(once.full) == once
    assert parse(once.full).bare == once.bare


@pytest.mark.fuzz
@given(strategies.jid_like)
def test_any_text_is_a_jid_or_invalid(text: str) -> None:
    """Nothing else is raised; what comes out keeps the rules of §3."""
    try:
        found = parse(text)
    except InvalidJid:
        return
    assert isinstance(found, Jid)
    assert not set('"&\'/:<>@ ') & set(found.local)
    assert not set('/@') & set(found.domain) and found.domain and not found.domain.endswith('.')
    for part in (found.local, found.domain, found.resource):
        assert len(part.encode()) <= 1023
    assert parse(found.full) == found
    assert (found.full, found.bare) == (parse(found.full).full, parse(found.bare).full)


@pytest.mark.fuzz
@given(st.text(st.characters(max_codepoint=127), min_size=1, max_size=30))
def test_the_short_way_is_the_long_way(text: str) -> None:
    """For ASCII the profiles need not be asked: the answer is theirs."""
    for quick, profile in ((jid.prepare_local, jid._USERNAME), (jid.prepare_resource, jid._OPAQUE)):
        try:
            expected = profile.enforce(text)
        except UnicodeError:
            expected = None
        if quick is jid.prepare_local and expected is not None and set('"&\'/:<>@') & set(expected):
            expected = None
        try:
            found: str | None = quick(text)
        except InvalidJid:
            found = None
        assert found == expected
