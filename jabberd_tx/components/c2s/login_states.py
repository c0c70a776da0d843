"""The states of a login, and what is done in each with what comes.

Theory of operation.  A login sees the events of the parser, one by one, and is in one of these states:

    state       waits for                                   then
    HEADER      <stream:stream>                             features are sent, once the account that it may name is
                                                            looked up: CHOICE, or BINDING once authenticated
    CHOICE      <starttls/>                                 TLS begins, and with it a new stream: HEADER
                <auth/>                                     EXCHANGE
                <authenticate/> (XEP-0388)                  EXCHANGE
                IQ of registration.py, if that is on        the answer is sent
    EXCHANGE    what exchange.py or sasl2.py waits for      success: a new stream, HEADER; by XEP-0388: BINDING, or the
                                                            session takes over; failure: CHOICE
    BINDING     IQ set with <bind/> (binding.py)            the sm is asked: STARTING
                <resume/> (XEP-0198)                        the earlier session is looked for: STARTING
    STARTING    the sm                                      the session takes over; or it is refused: BINDING
    OVER        nothing: the stream has ended

TABLE says which method of Login (stream.py) takes what comes; what does not stand there is a violation, and ends the
stream with the error that the RFC names.  While storage, a thread or the sm is asked, the connection holds what comes.
"""

from __future__ import annotations

from enum import IntEnum

from jabberd_tx.xmpp import ns


class State(IntEnum):
    """See the module's text."""

    HEADER, CHOICE, EXCHANGE, BINDING, STARTING, OVER = range(6)


HEADER, CHOICE, EXCHANGE, BINDING, STARTING, OVER = State

# (state, what came) -> the method that takes it.
TABLE = {
    (HEADER, 'open'): '_open',
    (CHOICE, f'{ns.TLS} starttls'): '_start_tls',
    (CHOICE, 'stanza'): '_register',
    (CHOICE, f'{ns.SASL} auth'): '_authenticate',
    (CHOICE, f'{ns.SASL} abort'): '_abort',
    (CHOICE, f'{ns.SASL2} authenticate'): '_authenticate',
    (CHOICE, f'{ns.SASL2} abort'): '_abort',
    (EXCHANGE, f'{ns.SASL} auth'): '_go_on',
    (EXCHANGE, f'{ns.SASL} response'): '_go_on',
    (EXCHANGE, f'{ns.SASL} abort'): '_go_on',
    (EXCHANGE, f'{ns.SASL2} response'): '_go_on',
    (EXCHANGE, f'{ns.SASL2} abort'): '_go_on',
    (EXCHANGE, f'{ns.SASL2} next'): '_go_on',
    (EXCHANGE, f'{ns.SASL2} task-data'): '_go_on',
    (BINDING, 'stanza'): '_bind',
    (BINDING, f'{ns.TLS} starttls'): '_refuse_tls',
    (BINDING, f'{ns.ACKS} enable'): '_refuse_acks',
    (BINDING, f'{ns.ACKS} resume'): '_resume',
}
