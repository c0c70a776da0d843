"""Two people who chat while others do what they should not."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Future

from processes import Site
from raw_client import RawClient


class Bystanders:
    """juliet and romeo, who chat all the while, on a thread and connections of their own."""

    def __init__(self, site: Site, pace: float = 0.01) -> None:
        """pace: seconds from one message to the next."""
        self.site, self._pace = site, pace
        self.sent = self.received = 0
        self.slowest = 0.0
        self._stop = threading.Event()
        self._result: Future[None] = Future()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            asyncio.run(self._chat())
            self._result.set_result(None)
        except BaseException as error:
            self._result.set_exception(error)

    async def _chat(self) -> None:
        certificate = self.site.folder / 'data' / 'cert.pem'
        juliet = await RawClient(self.site.ports[0], certificate).login('juliet')
        romeo = await RawClient(self.site.ports[-1], certificate).login('romeo')
        while not self._stop.is_set():
            self.sent += 1
            juliet.send(f"<message to='{romeo.jid}' type='chat'><body>chat {self.sent}</body></message>")
            began = time.monotonic()
            await romeo.until(f'<body>chat {self.sent}</body></message>')
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.received += 1
            await asyncio.sleep(self._pace)
        juliet.close()
        romeo.close()

    def go_on(self) -> None:
        """Two more messages have arrived; AssertionError with what went wrong."""
        wanted, end = self.received + 2, time.monotonic() + 10
        while self.received < wanted:
            if self._result.done():
                self._result.result()
            assert time.monotonic() < end, 'the bystanders have stopped'
            time.sleep(0.01)

    def stop(self) -> None:
        self._stop.set()
        self._result.result(20)
