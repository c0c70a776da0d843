"""XML that clients keep at the server, each element by its name (XEP-0049)."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, delete, func, insert, select

from jabberd_tx.storage.operations import Run, read, write
from jabberd_tx.storage.schema import NAME_BYTES, private_xml

_OF_OWNER = private_xml.c.owner == bindparam('who')
_NAMED = private_xml.c.name == bindparam('which')

SELECT = select(private_xml.c.xml).where(_OF_OWNER, _NAMED)
USED = select(func.count(), func.coalesce(func.sum(func.length(private_xml.c.xml)), 0)).where(_OF_OWNER)
INSERT = insert(private_xml)
DELETE = delete(private_xml).where(_OF_OWNER, _NAMED)
DELETE_ALL = delete(private_xml).where(_OF_OWNER)


@read('private.get')
def get(run: Run, owner: str, name: str) -> bytes | None:
    """The XML kept under that name; None: nothing is."""
    rows = run(SELECT, who=owner, which=name)
    return bytes(rows[0][0]) if rows else None


@write('private.put')
def put(run: Run, owner: str, elements: Sequence[tuple[str, bytes]], most: int, most_bytes: int) -> bool:
    """Keep (name, XML) of each, in the place of what has that name; False: the owner would have more than `most`
    or more than `most_bytes` of them then, and nothing is changed."""
    for name, _ in elements:
        if len(name.encode()) > NAME_BYTES:
            raise ValueError(f'the name of a private element has at most {NAME_BYTES} bytes')
    before = [(name, run(SELECT, who=owner, which=name)) for name, _ in elements]
    count, size = run(USED, who=owner)[0]
    count += sum([not rows for _, rows in before])
    size += sum([len(xml) for _, xml in elements]) - sum([len(rows[0][0]) for _, rows in before if rows])
    if count > most or size > most_bytes:
        return False
    for name, xml in elements:
        run(DELETE, who=owner, which=name)
        run(INSERT, owner=owner, name=name, xml=xml)
    return True
