"""jabberd-ctl record: what clients send, written down to be played again (jabberd-load)."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from threading import Event
from typing import IO, Any

import click

from jabberd_tx.control.admin_client import AdminLink
from jabberd_tx.control.admin_wire import AdminError
from jabberd_tx.control.ctl.site import Site, plain_errors
from jabberd_tx.xmpp.traffic import Sent, Shape, end, header, line

# How often routers are asked for what has come.
PAUSE = 0.25


@click.command()
@click.argument('file', type=click.Path(dir_okay=False))
@click.option('--seconds', type=click.FloatRange(0.1, 86400), default=60.0, show_default=True, help='For so long.')
@click.option(
    '--most', type=click.IntRange(1, 10_000_000), default=1_000_000, show_default=True, help='At most so many stanzas.'
)
@click.option('--bodies', is_flag=True, help='What is in the stanzas as well: what people write to each other.')
@click.option('--real-jids', is_flag=True, help='JIDs as they are, not pseudonyms.')
@click.pass_obj
def record(site: Site, file: str, seconds: float, most: int, bodies: bool, real_jids: bool) -> None:
    """Record in FILE what clients send: when, who to whom, kind and size, but not what is in it.

    FILE must not exist yet, and is for its owner alone.  It ends after the time, or with Ctrl-C.  Play it with
    jabberd-load.  Every router of this machine is asked.
    """
    with plain_errors():
        routers = site.running.able('record.start')
        if not routers:
            raise click.ClickException('no router runs here')
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), 'w', encoding='utf-8') as out:
            recorder = Recorder(out, most, None if real_jids else Pseudonyms())
            recorder.begin(bodies)
            sources = [Source(router, bodies) for router in routers]
            with interrupts() as interrupted:
                recorder.run(sources, seconds, interrupted)
                recorder.finish(sources)
    click.echo(f'{recorder.count} stanzas in {recorder.seconds:.1f} s' + recorder.losses())


@contextmanager
def interrupts() -> Iterator[Event]:
    """Set by Ctrl-C and SIGTERM, which do nothing else meanwhile: after half a reply, the rest would be nonsense."""
    found = Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda number, frame: found.set()) for number in numbers]
    try:
        yield found
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


class Source:
    """A recording of one router.  lost: why there is no more of it."""

    def __init__(self, link: AdminLink, bodies: bool) -> None:
        self.link, self.lost, self.dropped = link, '', 0
        self._id = link.ask('record.start', bodies=bodies)

    def take(self, last: bool) -> Iterator[Sent]:
        """What has come since."""
        more = not self.lost
        while more:
            try:
                told = self.link.ask('record.take', id=self._id, last=last)
            except AdminError as error:
                self.lost = str(error)
                click.echo(f'{self.link.node}: {error}; going on without it', err=True)
                return
            yield from [_sent(*fields) for fields in told['stanzas']]
            self.dropped, more = told['dropped'], told['more']


class Recorder:
    """Writes the file.  count, seconds: what there is so far."""

    def __init__(self, out: IO[str], most: int, pseudonyms: Pseudonyms | None) -> None:
        self.count, self.seconds = 0, 0.0
        self._out, self._most, self._pseudonyms = out, most, pseudonyms
        self._started = time.time()
        self._dropped = 0
        self._lost: list[str] = []

    def begin(self, bodies: bool) -> None:
        """The header."""
        started = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(self._started))
        self._write(header(started, self._pseudonyms is not None, bodies))

    def run(self, sources: list[Source], seconds: float, interrupted: Event) -> None:
        """Until the time is over, there is enough, no router is left, or it is interrupted."""
        until = time.monotonic() + seconds
        while self.count < self._most and not all(source.lost for source in sources):
            left = until - time.monotonic()
            if left <= 0 or interrupted.wait(min(PAUSE, left)):
                break
            self._take(sources, False)

    def finish(self, sources: list[Source]) -> None:
        """What is left, and the end."""
        self._take(sources, True)
        self.seconds = time.time() - self._started
        self._dropped = sum([source.dropped for source in sources])
        self._lost = [source.link.node for source in sources if source.lost]
        self._write(end(self.seconds, self.count, self._dropped))

    def losses(self) -> str:
        """What is not in the file, in words."""
        dropped = f', {self._dropped} came too fast and are left out' if self._dropped else ''
        return dropped + (f', without the rest of {", ".join(self._lost)}' if self._lost else '')

    def _take(self, sources: list[Source], last: bool) -> None:
        for one in sorted(chain.from_iterable([list(source.take(last)) for source in sources])):
            if self.count < self._most:
                self.count += 1
                one = one._replace(at=max(0.0, one.at - self._started))
                self._write(line(one if self._pseudonyms is None else self._pseudonyms.of(one)))
        self._out.flush()

    def _write(self, text: str) -> None:
        self._out.write(text + '\n')


class Pseudonyms:
    """u1@d1/r1 for each JID, numbered as they come: the same JID has the same one in one recording."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], str] = {}
        self._numbers: dict[str, int] = {}

    def of(self, one: Sent) -> Sent:
        """The same with pseudonyms.  What was recorded of bodies is left as it is."""
        return one._replace(sender=self.jid(one.sender), to=self.jid(one.to))

    def jid(self, jid: str) -> str:
        """'' for ''."""
        bare, slash, resource = jid.partition('/')
        local, at, domain = bare.rpartition('@')
        if not domain:
            return jid
        user = self._name('u', f'{local}@{domain}') if at else ''
        return f'{user}{at}{self._name("d", domain)}{slash}{self._name("r", resource, bare) if slash else ""}'

    def _name(self, letter: str, text: str, of: str = '') -> str:
        """`of`: whose; resources are numbered for each bare JID."""
        key = (f'{letter}{of}', text)
        name = self._known.get(key)
        if name is None:
            number = self._numbers[key[0]] = self._numbers.get(key[0], 0) + 1
            name = self._known[key] = f'{letter}{number}'
        return name


def _sent(
    at: float, sender: str, to: str, kind: str, type: str, size: int, children: list[list[Any]], inner: str | None
) -> Sent:
    return Sent(at, sender, to, kind, type, size, tuple([Shape(*child) for child in children]), inner)
