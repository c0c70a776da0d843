"""jabberd-ctl, with all that a configuration file may have."""

from __future__ import annotations

from jabberd_tx.control.ctl.main import command
from jabberd_tx.services.command_line import found
from jabberd_tx.services.sections import all_sections

main = command(all_sections, found)
