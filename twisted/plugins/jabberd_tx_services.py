"""What `twistd --help` lists.  This folder never gets an __init__.py: twisted.plugins belongs to all projects."""

from twisted.application.service import ServiceMaker

everything = ServiceMaker(
    'jabberd-tx: all services', 'jabberd_tx.services.jabberd', 'An XMPP server: all services in one process.', 'jabberd'
)
router = ServiceMaker(
    'jabberd-tx: router',
    'jabberd_tx.services.router',
    'XMPP: routes packets between the other services.',
    'jabberd-router',
)
c2s = ServiceMaker('jabberd-tx: c2s', 'jabberd_tx.services.c2s', 'XMPP: client connections.', 'jabberd-c2s')
sm = ServiceMaker('jabberd-tx: sm', 'jabberd_tx.services.sm', 'XMPP: the session manager.', 'jabberd-sm')
component = ServiceMaker(
    'jabberd-tx: components',
    'jabberd_tx.services.component',
    'XMPP: components that serve names of their own.',
    'jabberd-component',
)
