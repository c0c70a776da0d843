"""XML namespaces, named after the specification that defines them."""

STREAM = 'http://etherx.jabber.org/streams'
STREAMS = 'urn:ietf:params:xml:ns:xmpp-streams'
STANZAS = 'urn:ietf:params:xml:ns:xmpp-stanzas'
TLS = 'urn:ietf:params:xml:ns:xmpp-tls'
SASL = 'urn:ietf:params:xml:ns:xmpp-sasl'
BIND = 'urn:ietf:params:xml:ns:xmpp-bind'
SESSION = 'urn:ietf:params:xml:ns:xmpp-session'
XML = 'http://www.w3.org/XML/1998/namespace'

# RFC 6120 §4.8.3.  The three are one content namespace inside the server: a child that
# declares none of its own is listed under CLIENT whatever kind of stream it came in on.
CLIENT = 'jabber:client'
SERVER = 'jabber:server'
COMPONENT = 'jabber:component:accept'
CONTENT = frozenset((CLIENT, SERVER, COMPONENT))

ROSTER = 'jabber:iq:roster'
ROSTER_VERSIONING = 'urn:xmpp:features:rosterver'
PREAPPROVAL = 'urn:xmpp:features:pre-approval'
ACKS = 'urn:xmpp:sm:3'
PING = 'urn:xmpp:ping'
DISCO_INFO = 'http://jabber.org/protocol/disco#info'
DISCO_ITEMS = 'http://jabber.org/protocol/disco#items'
DELAY = 'urn:xmpp:delay'
CARBONS = 'urn:xmpp:carbons:2'
FORWARD = 'urn:xmpp:forward:0'
HINTS = 'urn:xmpp:hints'
SID = 'urn:xmpp:sid:0'
BLOCKING = 'urn:xmpp:blocking'
BLOCKING_ERRORS = 'urn:xmpp:blocking:errors'
RECEIPTS = 'urn:xmpp:receipts'
CHAT_MARKERS = 'urn:xmpp:chat-markers:0'
CONFERENCE = 'jabber:x:conference'
MUC_USER = 'http://jabber.org/protocol/muc#user'
CHAT_STATES = 'http://jabber.org/protocol/chatstates'
CHANNEL_BINDING = 'urn:xmpp:sasl-cb:0'
CSI = 'urn:xmpp:csi:0'
