"""A server that has the process to itself, as twistd runs it: polls, file mode, collector, SIGHUP, exit status."""

from __future__ import annotations

import gc
import os
import sys
from typing import Any

from jabberd_tx.base.polls import TurnPolls
from jabberd_tx.link import options as link_options
from jabberd_tx.services.server import Server
from jabberd_tx.services.standstill import begin_anew

# Objects made before the young generation is looked at, and how often the older ones are: stanzas die young and
# without cycles, and a full collection of a big process takes a quarter of a second.
GC_THRESHOLDS = (20_000, 50, 100)


class ServerProcess(Server):
    """One process of a site."""

    def startService(self) -> None:
        """Begin; what goes wrong later ends the process with status 1 and one line."""
        os.umask(0o077)
        self._polls = TurnPolls(self.reactor, self.turn)
        self._polls.start()
        super().startService()

    def started(self) -> None:
        """What there is now stays."""
        self.reload.on_signal(self.reactor)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        if self.links:
            # Then others have taken it for gone.
            self._polls.watch(self.section(link_options.OPTIONS).heartbeat_timeout, begin_anew)
        super().started()

    def failed(self, failure: Any) -> None:
        """One line, and the end."""
        super().failed(failure)
        # twistd has no other way to end with a status of our choice once the reactor runs.
        self.reactor.addSystemEventTrigger('after', 'shutdown', lambda: (sys.stdout.flush(), os._exit(1)))
        self.reactor.callWhenRunning(self.reactor.stop)
