"""@xmpp/client (npm), unmodified, in a process of its own (xmppjs/client.mjs)."""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from processes import Site

FOLDER = Path(__file__).parent / 'xmppjs'
WAIT_S = 20.0


class NodeClient:
    """One node process; `tell` sends a command, `until` waits for an event."""

    def __init__(self, site: Site, name: str, port: int, password: str | None = None) -> None:
        node = shutil.which('node')
        assert node is not None, 'node is missing: apt-get install nodejs'
        assert (FOLDER / 'node_modules' / '@xmpp').is_dir(), 'run: npm ci, in tests/system/xmppjs'
        self.popen = subprocess.Popen(
            [node, 'client.mjs', str(port), name, password or f'{name}-secret'],
            cwd=FOLDER, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, 'NODE_EXTRA_CA_CERTS': str(site.folder / 'data' / 'cert.pem')},
        )  # fmt: skip
        self.events: queue.Queue[dict[str, Any]] = queue.Queue()
        self.missed: list[dict[str, Any]] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            self.events.put(json.loads(line))

    def tell(self, command: str, **fields: Any) -> None:
        assert self.popen.stdin is not None
        self.popen.stdin.write(json.dumps({'command': command, **fields}) + '\n')
        self.popen.stdin.flush()

    def until(
        self, event: str, true: Callable[[dict[str, Any]], bool] = lambda found: True, **fields: Any
    ) -> dict[str, Any]:
        """The next event with these fields, of which that is true; AssertionError when none comes."""
        deadline = time.monotonic() + WAIT_S
        for index, found in enumerate(self.missed):
            if self._fits(found, event, fields) and true(found):
                return self.missed.pop(index)
        while True:
            try:
                found = self.events.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f'no {event} {fields} among {self.missed}') from None
            if self._fits(found, event, fields) and true(found):
                return found
            self.missed.append(found)

    @staticmethod
    def _fits(found: dict[str, Any], event: str, fields: dict[str, Any]) -> bool:
        return found['event'] == event and all(found.get(key) == value for key, value in fields.items())

    def stop(self) -> None:
        """Close the stream, end the process."""
        self.tell('stop')
        try:
            self.popen.wait(WAIT_S)
        finally:
            self.popen.kill()
