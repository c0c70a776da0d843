"""`jabberd-ctl check`: finds what is wrong before a user does.  Each module looks at one thing and gives findings."""
