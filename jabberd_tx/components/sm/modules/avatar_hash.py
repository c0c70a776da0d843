"""XEP-0153: presence tells which photo the user's vCard has, whether the client knows that or not.

What a client says of another photo than the vCard's is put right: the photo may have been replaced since, or been
made smaller.  A client that says it has none, or doesn't know yet, is left alone.
"""

from __future__ import annotations

from collections.abc import Awaitable

from jabberd_tx.components.sm.module import Module, hook
from jabberd_tx.storage import vcards
from jabberd_tx.storage.operations import StorageError
from jabberd_tx.storage.sessions.interface import Session, StaleEpoch
from jabberd_tx.xmpp.payloads.vcard import telling_hash, told_hash
from jabberd_tx.xmpp.stanza import Stanza

# Users whose photo is remembered.
MOST_KNOWN = 10_000


class AvatarHash(Module):
    """Tells contacts in presence which photo a user has."""

    name = 'avatar_hash'
    xeps = ('XEP-0153',)

    def start(self) -> None:
        """Nobody's photo is known."""
        # bare JID -> the hash, or ''; only while there is no other sm that may change it.
        self._known: dict[str, str] = {}
        self.sm.first_reads.add(vcards.photo, lambda owner: owner in self._known, self._learn)

    @hook('presence_broadcast', order=60)
    def complete(self, stanza: Stanza, session: Session) -> Stanza | Awaitable[Stanza | None] | None:
        """Available presence, if need be with another hash."""
        if 'type' in stanza.attrs:
            return None
        photo = self._known.get(session.bare)
        return _corrected(stanza, photo) if photo is not None else self._look_up(stanza, session.bare)

    async def _look_up(self, stanza: Stanza, owner: str) -> Stanza | None:
        try:
            photo = await self.sm.storage.run(vcards.photo, owner)
        except StorageError:
            return None
        self._remember(owner, photo)
        return _corrected(stanza, photo)

    @hook('peers_changed')
    def forget(self, domain: str) -> None:
        """Another sm may have changed what is remembered."""
        self._known.clear()

    @hook('user_forgotten')
    def forget_user(self, owner: str) -> None:
        """The account may be removed, and its vCard with it."""
        self._known.pop(owner, None)

    def _learn(self, owner: str, photo: str) -> None:
        if owner not in self._known:
            self._remember(owner, photo)

    def _remember(self, owner: str, photo: str) -> None:
        if not self.sm.is_alone():
            return
        known = self._known
        known.pop(owner, None)
        if len(known) >= MOST_KNOWN:
            del known[next(iter(known))]
        known[owner] = photo

    @hook('vcard_changed')
    def changed(self, owner: str, photo: str) -> None:
        """Whoever has seen the old one is told."""
        self._remember(owner, photo)
        self.sm.spawn(self._tell(owner, photo))

    async def _tell(self, owner: str, photo: str) -> None:
        for session in await self.sm.sessions.fetch(owner):
            if session.presence is None:
                continue
            told = told_hash(session.presence)
            if (told or '') == photo:
                continue
            try:
                changed = await self.sm.sessions.update(
                    session.stream, owner, session.epoch, presence=telling_hash(session.presence, photo)
                )
            except StaleEpoch:
                continue
            await self.sm.presence.announce(changed)


def _corrected(stanza: Stanza, photo: str) -> Stanza | None:
    told = told_hash(stanza)
    if told == photo or (told == '' and photo) or (told is None and not photo):
        return None
    return telling_hash(stanza, photo)
