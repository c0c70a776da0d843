"""A photo that is too large, set by slixmpp: made smaller, told of in presence, and fetched by a contact."""

from __future__ import annotations

import asyncio
import hashlib
import random
from io import BytesIO

from PIL import Image
from processes import DOMAIN, Site
from test_slixmpp import befriend, two


def picture() -> bytes:
    """Some 150 KB, which is more than a vCard of the size allowed by default may hold."""
    out = BytesIO()
    Image.frombytes('RGB', (260, 200), random.Random(1).randbytes(260 * 200 * 3)).save(out, 'PNG')
    return out.getvalue()


def test_a_large_photo_is_made_smaller_and_told_of(site: Site) -> None:
    """In both shapes: what the contact's client sees in presence is the hash of what it then fetches."""

    async def talk() -> None:
        juliet, romeo = await two(site, 'juliet', 'romeo')
        for client in (juliet, romeo):
            client.register_plugin('xep_0054')
        await befriend(juliet, romeo)
        card = juliet.plugin['xep_0054'].make_vcard()
        card['FN'] = 'Juliet'
        card['PHOTO']['TYPE'] = 'image/png'
        card['PHOTO']['BINVAL'] = picture()
        await juliet.plugin['xep_0054'].publish_vcard(card)
        path = '{vcard-temp:x:update}x/{vcard-temp:x:update}photo'
        seen = await romeo.until('presence', lambda p: p.xml.find(path) is not None)
        answer = await romeo.plugin['xep_0054'].get_vcard(f'juliet@{DOMAIN}', cached=False)
        photo = answer['vcard_temp']['PHOTO']
        assert hashlib.sha1(photo['BINVAL']).hexdigest() == seen.xml.find(path).text
        assert len(photo['BINVAL']) <= 32_768
        with Image.open(BytesIO(photo['BINVAL'])) as small:
            assert max(small.size) == 192
        await juliet.plugin['xep_0054'].publish_vcard(juliet.plugin['xep_0054'].make_vcard())
        for one, other in ((juliet, 'romeo'), (romeo, 'juliet')):
            await one.del_roster_item(f'{other}@{DOMAIN}')
        await asyncio.gather(juliet.leave(), romeo.leave())

    asyncio.run(talk())
