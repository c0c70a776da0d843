"""jabberd-tx: a clustered, pluggable XMPP server framework on Twisted."""

__version__ = '0.1.0'
