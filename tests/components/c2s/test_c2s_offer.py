"""What streams are offered, with each option on and off."""

from __future__ import annotations

import base64

import pytest

from jabberd_tx.base.options import ConfigError, load
from jabberd_tx.components.c2s.options import OPTIONS
from jabberd_tx.services.sections import all_sections
from jabberd_tx.testing.client import XmppClient
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.sasl import offer_hash
from tests.components.c2s.c2s_support import Site


def features(site: Site) -> tuple[bytes, bytes, XmppClient]:
    """Before and after login, and the client."""
    client = site.connect()
    before = site.run(client.open()).inner
    site.run(client.authenticate())
    return before, site.run(client.open()).inner, client


@pytest.mark.parametrize(
    'option, before, after',
    [
        (
            'stream_limits',
            b"<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>65536</max-bytes></limits>",
            b"<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>262144</max-bytes>"
            b'<idle-seconds>600</idle-seconds></limits>',
        ),
        ('csi', b"<feature var='urn:xmpp:csi:0'/>", b"<csi xmlns='urn:xmpp:csi:0'/>"),
        (
            'bind2',
            b"<bind xmlns='urn:xmpp:bind:0'><inline><feature var='urn:xmpp:sm:3'/><feature var='urn:xmpp:csi:0'/>"
            b'</inline></bind>',
            b'',
        ),
        (
            'sasl2',
            b"<authentication xmlns='urn:xmpp:sasl:2'><mechanism>SCRAM-SHA-512</mechanism>"
            b'<mechanism>SCRAM-SHA-256</mechanism><mechanism>SCRAM-SHA-1</mechanism><mechanism>PLAIN</mechanism>'
            b"<inline><bind xmlns='urn:xmpp:bind:0'><inline><feature var='urn:xmpp:sm:3'/>"
            b"<feature var='urn:xmpp:csi:0'/></inline></bind><sm xmlns='urn:xmpp:sm:3'/>"
            b"<fast xmlns='urn:xmpp:fast:0'><mechanism>HT-SHA-256-NONE</mechanism></fast></inline></authentication>",
            b'',
        ),
        ('fast', b"<fast xmlns='urn:xmpp:fast:0'><mechanism>HT-SHA-256-NONE</mechanism></fast>", b''),
    ],
)
def test_an_option_takes_just_its_feature_away(option: str, before: bytes, after: bytes) -> None:
    on, off = features(Site(**{option: True})), features(Site(**{option: False}))
    assert before in on[0] and on[0].replace(before, b'', 1) == off[0]
    assert after in on[1] and on[1].replace(after, b'', 1) == off[1]


def test_the_size_that_is_told_is_the_size_that_is_taken() -> None:
    site = Site(max_stanza_bytes=12345, idle_timeout=0)
    _, after, client = features(site)
    assert b'<max-bytes>12345</max-bytes></limits>' in after
    site.run(client.bind('r'))
    frame = "<message to='juliet@example.net'><body>%s</body></message>"
    client.send(frame % ('x' * (12345 - len(frame) + 2)))
    site.settle()
    assert not client.error and len(site.sm.frames) == 1
    client.send(frame % ('x' * (12345 - len(frame) + 3)))
    site.settle()
    assert client.error == 'policy-violation'


def test_nobody_can_set_a_size_below_10000_bytes() -> None:
    """RFC 6120 §13.12."""
    assert load(None, all_sections(), ['c2s.max_stanza_bytes=10000']).section(OPTIONS).max_stanza_bytes == 10000
    with pytest.raises(ConfigError, match='max_stanza_bytes'):
        load(None, all_sections(), ['c2s.max_stanza_bytes=9999'])


@pytest.mark.parametrize('mechanism', ['SCRAM-SHA-1', 'SCRAM-SHA-256', 'SCRAM-SHA-512'])
def test_a_challenge_tells_what_was_offered_unless_switched_off(mechanism: str) -> None:
    for protected in (True, False):
        site = Site(downgrade_protection=protected)
        client = site.connect()
        site.run(client.open())
        offered = tuple(client.mechanisms)
        initial = base64.b64encode(b'n,,n=romeo,r=abc').decode()
        client.send(f"<auth xmlns='{ns.SASL}' mechanism='{mechanism}'>{initial}</auth>")
        fields = base64.b64decode(site.run(client.nonza('challenge')).text).decode().split(',')
        wanted = [f'h={offer_hash(mechanism, offered, ())}'] if protected else []
        assert fields[3:] == wanted


def test_a_reload_changes_what_new_streams_are_offered() -> None:
    site = Site()
    site.c2s.options.stream_limits = False
    site.c2s.options_changed()
    assert b'limits' not in b''.join(features(site)[:2])
