"""jabberd-ctl: the command for whoever runs a server.

services/ makes the command with all sections that the configuration file may have; see main.command.
"""
