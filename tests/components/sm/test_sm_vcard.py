"""vCards (XEP-0054), and presence that tells which photo there is (XEP-0153)."""

from __future__ import annotations

import random
from base64 import b64decode, b64encode
from hashlib import sha1
from io import BytesIO
from struct import pack
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from twisted.internet.defer import Deferred, maybeDeferred

from jabberd_tx.components.sm.photo import Photo, UnusablePhoto, shrink
from jabberd_tx.storage import accounts, last_activity, vcards
from jabberd_tx.xmpp.payloads.vcard import told_hash
from tests.components.sm.sm_support import CREDENTIALS, DOMAIN, Site
from tests.components.sm.test_sm_iq import ask
from tests.components.sm.test_sm_presence import know
from tests.components.sm.test_sm_profile import values

ROMEO, JULIET = f'romeo@{DOMAIN}', f'juliet@{DOMAIN}'
GET = "<vCard xmlns='vcard-temp'/>"


def card(inner: str) -> str:
    return f"<vCard xmlns='vcard-temp'>{inner}</vCard>"


def with_photo(data: bytes) -> str:
    text = b64encode(data).decode()
    return card(f'<FN>J</FN><PHOTO><TYPE>image/png</TYPE><BINVAL>\n{text[:76]}\r\n{text[76:]}</BINVAL></PHOTO>')


def image(width: int, height: int, form: str = 'PNG', mode: str = 'RGB') -> bytes:
    """Noise, which does not compress well."""
    size = width * height * len(mode)
    out = BytesIO()
    Image.frombytes(mode, (width, height), random.Random(1).randbytes(size)).save(out, form)
    return out.getvalue()


def hash_of(data: bytes) -> str:
    return sha1(data).hexdigest()


def at_once(site: Site) -> Any:
    """Photos are converted without a thread, which the fake clock has not."""
    module = site.sm.modules.by_name['vcard']
    module.apart = maybeDeferred
    return module


def kept(owner: str, site: Site) -> Any:
    return site.storage.run(vcards.get, owner).result


@pytest.fixture
def site() -> Site:
    return Site()


# ---- vCards


def test_a_vcard_comes_back_as_it_was_put_to_its_owner_and_to_others(site: Site) -> None:
    """Also while the owner is away; nobody else may put it."""
    c2s = site.c2s()
    romeo, juliet = c2s.client('romeo'), c2s.client('juliet')
    assert 'item-not-found' in ask(juliet, GET)
    assert 'item-not-found' in ask(romeo, GET, JULIET)
    xml = card('<FN>Juliet &amp; Co</FN><X xmlns="other">é</X>')
    assert "type='result'" in ask(juliet, xml, kind='set')
    assert xml in ask(juliet, GET)
    juliet.leave()
    site.quiet()
    assert xml in ask(romeo, GET, JULIET)
    assert 'forbidden' in ask(romeo, xml, JULIET, 'set')
    assert 'service-unavailable' in ask(romeo, GET, f'ghost@{DOMAIN}')


def test_a_vcard_may_be_for_contacts_only() -> None:
    site = Site(modules={'modules.vcard': values('vcard', visible='contacts')})
    c2s = site.c2s()
    romeo, juliet = c2s.client('romeo'), c2s.client('juliet')
    ask(juliet, card('<FN>J</FN>'), kind='set')
    assert 'service-unavailable' in ask(romeo, GET, JULIET)
    know(site, ROMEO, JULIET, 'to')
    site.sm.rosters.forget_all()
    assert '<FN>J</FN>' in ask(romeo, GET, JULIET)


def test_who_has_no_account_can_not_leave_anything() -> None:
    """Such as a user who has logged in without one."""
    site = Site(users=('romeo',))
    guest = site.c2s().client('guest')
    assert 'not-allowed' in ask(guest, card('<FN>G</FN>'), kind='set')
    assert 'not-allowed' in ask(guest, "<query xmlns='jabber:iq:private'><a xmlns='x'/></query>", kind='set')
    guest.leave()
    site.quiet()
    for operation in (vcards.get, last_activity.get):
        assert site.storage.run(operation, guest.owner).result is None


def test_the_server_has_a_vcard_of_its_own() -> None:
    site = Site(modules={'modules.vcard': values('vcard', server_name='A & B', server_url='https://example.net/')})
    xml = ask(site.c2s().client('romeo'), GET, DOMAIN)
    assert f'{card("<FN>A &amp; B</FN><URL>https://example.net/</URL>")}' in xml
    assert 'forbidden' not in xml


def test_a_vcard_that_is_too_large_is_refused(site: Site) -> None:
    juliet = site.c2s().client('juliet')
    ask(juliet, card('<FN>J</FN>'), kind='set')
    site.sm.modules.by_name['vcard'].values.bytes = 1024
    assert 'not-acceptable' in ask(juliet, card(f'<DESC>{"x" * 1024}</DESC>'), kind='set')
    assert '<FN>J</FN>' in ask(juliet, GET)


# ---- photos


def test_a_small_photo_is_left_as_it_is(site: Site) -> None:
    """Byte for byte, white space and all; its hash is kept beside it."""
    juliet = site.c2s().client('juliet')
    xml = with_photo(image(32, 32))
    assert "type='result'" in ask(juliet, xml, kind='set')
    assert xml.replace('\r\n', '\n') in ask(juliet, GET).replace('\r\n', '\n').replace('&#13;', '')
    assert kept(JULIET, site).photo == hash_of(image(32, 32))


def test_a_large_photo_is_made_smaller(site: Site) -> None:
    """The rest of the vCard stays."""
    at_once(site)
    juliet = site.c2s().client('juliet')
    assert "type='result'" in ask(juliet, with_photo(image(300, 200)), kind='set')
    xml = ask(juliet, GET)
    assert '<FN>J</FN>' in xml and xml.count('<PHOTO>') == 1
    data = b64decode(xml.partition('<BINVAL>')[2].partition('</BINVAL>')[0])
    assert len(data) <= 32_768 and '<TYPE>image/jpeg</TYPE>' in xml
    with Image.open(BytesIO(data)) as small:
        assert (small.width, small.height, small.format) == (192, 128, 'JPEG')
    assert kept(JULIET, site).photo == hash_of(data)


@pytest.mark.parametrize(
    ('inner', 'condition'),
    [
        ('<PHOTO><BINVAL>!!!</BINVAL></PHOTO>', 'bad-request'),
        (f'<PHOTO><BINVAL>{b64encode(b"x" * 40_000).decode()}</BINVAL></PHOTO>', 'not-acceptable'),
    ],
)
def test_what_is_no_photo_is_refused(site: Site, inner: str, condition: str) -> None:
    at_once(site)
    juliet = site.c2s().client('juliet')
    assert condition in ask(juliet, card(inner), kind='set')
    assert kept(JULIET, site) is None


def test_an_empty_photo_is_none(site: Site) -> None:
    juliet = site.c2s().client('juliet')
    for inner in ('<PHOTO><BINVAL/></PHOTO>', '<PHOTO><EXTVAL>http://x</EXTVAL></PHOTO>', '<FN>BINVAL</FN>'):
        assert "type='result'" in ask(juliet, card(inner), kind='set')
        assert kept(JULIET, site).photo == ''


def test_only_so_many_photos_wait_to_be_converted(site: Site) -> None:
    """One at a time; the others of a user's own come after it."""
    waiting: list[tuple[Deferred[Any], Any]] = []

    def apart(call: Any, *arguments: Any) -> Deferred[Any]:
        waiting.append((Deferred(), lambda: call(*arguments)))
        return waiting[-1][0]

    site.sm.modules.by_name['vcard'].apart = apart
    site.sm.modules.by_name['vcard']._waiting = 18
    c2s = site.c2s()
    clients = [c2s.client(name) for name in ('romeo', 'juliet', 'nurse')]
    xml = with_photo(image(150, 150))
    for client in clients:
        client.send(f"<iq type='set' id='v'>{xml}</iq>")
    site.settle()
    assert [len(client.xml()) for client in clients] == [0, 0, 1]
    assert 'resource-constraint' in clients[2].xml()[0]
    assert len(waiting) == 1
    for index in range(2):
        deferred, call = waiting[index]
        deferred.callback(call())
        site.settle()
    for client in clients[:2]:
        assert [stanza.attrs['type'] for stanza in client.stanzas if stanza.name == 'iq'] == ['result']
    assert kept(ROMEO, site).photo == kept(JULIET, site).photo != ''


@pytest.mark.parametrize('form', ['PNG', 'JPEG', 'GIF', 'WEBP'])
def test_photos_of_all_usual_kinds_are_made_smaller(form: str) -> None:
    photo = shrink(image(400, 100, form), 20_000, 100)
    with Image.open(BytesIO(photo.data)) as small:
        assert small.size == (100, 25)
    assert len(photo.data) <= 20_000


def test_what_is_seen_through_stays_so() -> None:
    photo = shrink(image(200, 200, mode='RGBA'), 30_000, 64)
    assert photo.type == 'image/png'
    with Image.open(BytesIO(photo.data)) as small:
        assert small.mode == 'RGBA' and small.size == (64, 64)


def test_a_photo_gets_as_small_as_it_must_or_is_refused() -> None:
    photo = shrink(image(600, 600, mode='RGBA'), 18_000, 500)
    assert len(photo.data) <= 18_000
    with pytest.raises(UnusablePhoto, match='small enough'):
        shrink(image(600, 600, mode='RGBA'), 500, 500)


@pytest.mark.parametrize('side', [5001, 30_000])
def test_an_image_of_too_many_pixels_is_not_unpacked(side: int) -> None:
    """What it says of its size is enough."""
    small = image(24, 24)
    header = small[12:16] + pack('>II', side, side) + small[24:29]
    with pytest.raises(UnusablePhoto, match='too many pixels' if side < 10_000 else 'read'):
        shrink(small[:12] + header + pack('>I', crc32(header)) + small[33:], 5000, 64)


SMALL = {form: image(24, 24, form) for form in ('PNG', 'JPEG', 'GIF', 'WEBP')}


@given(st.sampled_from(sorted(SMALL)), st.integers(0, 2000), st.binary(min_size=1, max_size=8), st.integers(0, 2000))
@pytest.mark.fuzz
def test_whatever_is_sent_as_a_photo_it_is_converted_or_refused(form: str, at: int, new: bytes, cut: int) -> None:
    """Nothing else comes of broken images."""
    data = SMALL[form]
    at %= len(data)
    broken = (data[:at] + new + data[at + len(new) :])[: len(data) - cut % len(data)]
    try:
        assert isinstance(shrink(broken, 20_000, 64), Photo)
    except UnusablePhoto:
        pass


# ---- the hash in presence


def seen(client: Any) -> list[str | None]:
    """What presence told of photos, in order."""
    return [told_hash(stanza) for stanza in client.take() if stanza.name == 'presence']


def test_presence_tells_of_the_photo_when_the_client_does_not(site: Site) -> None:
    """With what the client says of a photo that is not the vCard's put right; 'none' and 'not yet' are left alone."""
    c2s = site.c2s()
    juliet, romeo = c2s.client('juliet'), c2s.client('romeo')
    know(site, ROMEO, JULIET, 'to')
    site.sm.rosters.forget_all()
    data = image(32, 32)
    right, wrong = hash_of(data), 'AB' * 20
    ask(juliet, with_photo(data), kind='set')
    assert seen(romeo) == [right]
    update = "<presence><x xmlns='vcard-temp:x:update'>{}</x></presence>"
    for xml, told in (
        ('<presence/>', right),
        (update.format(f'<photo>{wrong}</photo>'), right),
        (update.format(f'<photo>{right.upper()}</photo>'), right),
        (update.format('<photo/>'), ''),
        (update.format(''), ''),
    ):
        juliet.send(xml)
        site.quiet()
        (stanza,) = romeo.stanzas
        assert len([child for child in stanza.children if child.name == 'x']) == 1
        assert seen(romeo) == [told]
    juliet.send("<presence type='unavailable'/>")
    site.quiet()
    assert seen(romeo) == [None]


def test_without_a_photo_presence_is_left_alone(site: Site) -> None:
    c2s = site.c2s()
    juliet, romeo = c2s.client('juliet'), c2s.client('romeo')
    know(site, ROMEO, JULIET, 'to')
    site.sm.rosters.forget_all()
    juliet.come()
    site.quiet()
    assert seen(romeo) == [None]


def test_all_clients_tell_when_the_photo_changes_and_when_it_goes(site: Site) -> None:
    c2s = site.c2s()
    one, two, romeo = c2s.client('juliet', 'a'), c2s.client('juliet', 'b'), c2s.client('romeo')
    know(site, ROMEO, JULIET, 'to')
    site.sm.rosters.forget_all()
    first, second = image(32, 32), image(33, 33)
    ask(one, with_photo(first), kind='set')
    assert seen(romeo) == [hash_of(first)] * 2
    ask(two, with_photo(second), kind='set')
    assert seen(romeo) == [hash_of(second)] * 2
    ask(two, with_photo(second), kind='set')
    assert seen(romeo) == []
    ask(one, card(''), kind='set')
    assert seen(romeo) == [''] * 2
    assert [told_hash(session.presence) for session in site.sessions.peek(JULIET)] == ['', '']


def test_the_photo_of_a_removed_account_is_not_told_for_its_successor(site: Site) -> None:
    c2s = site.c2s()
    juliet = c2s.client('juliet')
    ask(juliet, with_photo(image(32, 32)), kind='set')
    site.storage.run(accounts.remove, JULIET)
    site.sm.spawn(site.sm.kick(JULIET, 'not-authorized'))
    juliet.live = False
    site.quiet()
    site.storage.run(accounts.put, JULIET, CREDENTIALS)
    again = c2s.start('juliet', 'again').come()
    site.quiet()
    assert seen(again) == [None]


def test_a_photo_that_was_there_before_is_told_at_login(site: Site) -> None:
    """Read from storage once; when storage fails, presence goes as it is."""
    c2s = site.c2s()
    juliet, romeo = c2s.client('juliet'), c2s.client('romeo')
    know(site, ROMEO, JULIET, 'to')
    site.sm.rosters.forget_all()
    ask(juliet, with_photo(image(32, 32)), kind='set')
    module = site.sm.modules.by_name['avatar_hash']
    module._known.clear()
    juliet.leave()
    site.quiet()
    romeo.take()
    again = c2s.start('juliet', 'again').come()
    site.quiet()
    assert seen(romeo) == [hash_of(image(32, 32))]
    # Another sm has come, which may have changed it.
    site.sm.on_up(DOMAIN, 'sm-2', b'i' * 16)
    assert module._known == {}
    site.storage.broken = 'out of order'
    again.take()
    again.come()
    site.quiet()
    assert seen(again) == [None]


def test_a_session_that_is_attached_tells_of_the_photo_as_before(site: Site) -> None:
    """Its c2s knows what the client said, and that has no photo; whoever asks for the presence sees it all the same."""
    c2s = site.c2s()
    juliet = c2s.client('juliet')
    ask(juliet, with_photo(image(32, 32)), kind='set')
    c2s.attach_again(juliet, '<presence><show>away</show></presence>')
    site.quiet()
    (session,) = site.sessions.peek(JULIET)
    assert session.epoch == 1 and session.presence.child('jabber:client', 'show') is not None
    assert told_hash(session.presence) == hash_of(image(32, 32))
