"""jabberd-load: plays recorded traffic against a server, as its clients would."""
