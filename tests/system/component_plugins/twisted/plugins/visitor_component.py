"""A component that visits chat rooms when it is told to, with wokkel's MUCClient as it is."""

from __future__ import annotations

import jabberd_tx.compat.wokkel  # noqa: F401  # isort: skip
from twisted.words.protocols.jabber.jid import JID
from twisted.words.protocols.jabber.xmlstream import XMPPHandler, toResponse
from twisted.words.xish.domish import Element
from wokkel.muc import GroupChat, MUCClient, Room, User

from jabberd_tx.components.plugins.plugin import ComponentPlugin

NICK = 'visitor'


class Visiting(MUCClient):
    """Says what it hears."""

    def receivedGroupChat(self, room: Room, user: User | None, message: GroupChat) -> None:
        if user is not None and user.nick != NICK:
            self.groupChat(room.roomJID, f'{user.nick} said {message.body}')


class Door(XMPPHandler):
    """Enters the room that a message names."""

    def __init__(self, visiting: Visiting) -> None:
        super().__init__()
        self.visiting = visiting

    def connectionInitialized(self) -> None:
        self.xmlstream.addObserver("/message[@type='chat']/body", self.enter)

    async def enter(self, message: Element) -> None:
        room = await self.visiting.join(JID(str(message.body)), NICK)
        answer = toResponse(message, 'chat')
        answer.addElement('body', content=', '.join(sorted(room.roster)))
        self.send(answer)


class Visitor(ComponentPlugin):
    """Visits chat rooms."""

    name = 'visitor'

    def handlers(self) -> list[XMPPHandler]:
        visiting = Visiting()
        return [visiting, Door(visiting)]
