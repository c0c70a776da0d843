"""vCards (XEP-0054), each with the hash of its photo (XEP-0153)."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import bindparam, delete, insert, select, update

from jabberd_tx.storage.operations import Run, read, write
from jabberd_tx.storage.schema import vcards

_OF_OWNER = vcards.c.owner == bindparam('who')

SELECT = select(vcards.c.xml, vcards.c.photo).where(_OF_OWNER)
SELECT_PHOTO = select(vcards.c.photo).where(_OF_OWNER)
INSERT = insert(vcards)
UPDATE = update(vcards).where(_OF_OWNER).values(xml=bindparam('new_xml'), photo=bindparam('new_photo'))
DELETE = delete(vcards).where(_OF_OWNER)


class Card(NamedTuple):
    """xml: the <vCard/>; photo: the SHA-1 of its photo in lower-case hexadecimal digits, or '' without one."""

    xml: bytes
    photo: str


@read('vcard.get', cache='vcard')
def get(run: Run, owner: str) -> Card | None:
    """The owner's; None: there is none."""
    rows = run(SELECT, who=owner)
    return Card(bytes(rows[0][0]), rows[0][1]) if rows else None


@read('vcard.photo', cache='vcard.photo')
def photo(run: Run, owner: str) -> str:
    """The hash of the photo alone; '' without one."""
    rows = run(SELECT_PHOTO, who=owner)
    return rows[0][0] if rows else ''


@write('vcard.put', invalidates=('vcard', 'vcard.photo'))
def put(run: Run, owner: str, card: Card) -> None:
    """In the place of the one there is."""
    if not run(UPDATE, who=owner, new_xml=card.xml, new_photo=card.photo)[0][0]:
        run(INSERT, owner=owner, xml=card.xml, photo=card.photo)
