"""What a component plugin is: a class that says which name it serves, and what happens with the stanzas for it.

    class Echo(ComponentPlugin):
        \"\"\"Answers messages with their own words.\"\"\"

        name = 'echo'

        def handlers(self):
            return [EchoHandler(), PingHandler(), DiscoHandler()]

The handlers are wokkel's XMPPHandlers; who wants stanzas as they are overrides `make`.  It is found by twisted.plugin:
import or define the class in a file of `twisted/plugins/`.  It runs inside `jabberd`, in `jabberd-component`, or as a
component of any server that speaks XEP-0114, as [component.NAME] of the configuration says (docs/components.md).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from twisted.plugin import IPlugin
from zope.interface import Attribute, Interface, directlyProvides

import jabberd_tx.compat.wokkel  # noqa: F401  # so that who imports this may import wokkel
from jabberd_tx.base.addresses import is_loopback
from jabberd_tx.base.metrics import Metrics
from jabberd_tx.base.options import Option, Section
from jabberd_tx.components.stanza_component import StanzaComponent
from jabberd_tx.link.interfaces import Links
from jabberd_tx.storage.module_tables import ModuleTables
from jabberd_tx.storage.operations import Storage

# The nodes of a site are called by what they run: 'sm-a', 'echo-a'.
RESERVED = frozenset(('c2s', 'cluster', 'component', 'db', 'gateway', 'jabberd', 'router', 's2s', 'sm'))
_NAME = re.compile('[a-z][a-z0-9_-]{0,30}')


class IComponentPlugin(Interface):
    """A kind of component: called, it makes one."""

    name = Attribute('str: what it is called in the config and in lists.')
    subdomain = Attribute('str: it serves this below the first domain of the site, unless the config has another.')
    policy = Attribute('Which of several instances gets what, unless [[route]] says (docs/routing.md): a str or None.')
    xeps = Attribute('The specifications that it implements: a tuple of str.')
    help = Attribute('One sentence for the reference page.')
    tables = Attribute('What it keeps in the database: ModuleTables, or None.')

    def section() -> Section:
        """The options, [component.NAME]; with those of `common_options`."""

    def __call__(place: Place, values: Any) -> ComponentPlugin:
        """A plugin at work; `values` are the section's."""


@dataclass(frozen=True)
class Place:
    """Where a plugin runs.

    domain   the name that it serves, prepared
    reactor  IReactorTime and what else the process's reactor is
    metrics  of the process
    storage  of the process, where the plugin has declared tables; None otherwise
    """

    domain: str
    reactor: Any
    metrics: Metrics
    storage: Storage | None = None


class ComponentPlugin:
    """Base class of component plugins."""

    name: ClassVar[str] = ''
    subdomain: ClassVar[str] = ''
    policy: ClassVar[str | None] = None
    xeps: ClassVar[tuple[str, ...]] = ()
    options: ClassVar[tuple[Option, ...]] = ()
    tables: ClassVar[ModuleTables | None] = None
    enabled: ClassVar[bool] = False

    help: ClassVar[str] = ''

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if not cls.help:
            cls.help = (cls.__doc__ or '').strip().partition('\n')[0]
        if not cls.name:
            return
        if cls.name in RESERVED or not _NAME.fullmatch(cls.name):
            raise ValueError(f'{cls.__name__}: {cls.name!r} can be no name of a component')
        if cls.tables is not None and cls.tables.name != cls.name:
            raise ValueError(f'{cls.__name__}: the tables are those of {cls.tables.name}, not of {cls.name}')
        twice = {option.name for option in cls.options} & {option.name for option in common_options(cls)}
        if twice:
            raise ValueError(f'{cls.__name__}: every component has the option {min(twice)}')
        directlyProvides(cls, IComponentPlugin, IPlugin)

    def __init__(self, place: Place, values: Any) -> None:
        self.place, self.values = place, values
        self.domain, self.reactor, self.metrics = place.domain, place.reactor, place.metrics

    @property
    def storage(self) -> Storage:
        """Where the tables are; LookupError for a plugin that has declared none."""
        if self.place.storage is None:
            raise LookupError(f'component {self.name} has declared no tables')
        return self.place.storage

    @classmethod
    def section(cls) -> Section:
        """[component.NAME] of the config."""
        text = ' '.join([cls.help, *([f'({", ".join(cls.xeps)})'] if cls.xeps else [])])
        section = Section(f'component.{cls.name}', text, *common_options(cls), *cls.options)
        section.rule = lambda values_of: _check_remote(section.name, values_of(section))
        return section

    @property
    def bind_options(self) -> dict[str, object]:
        """What its instance asks of routers, beside the policy (docs/routing.md)."""
        values = self.values
        asked: dict[str, object] = {} if values.weight == 1.0 else {'weight': values.weight}
        if values.slots:
            asked['slots'] = values.slots
        if values.slot >= 0:
            asked['slot'] = values.slot
        return asked

    # ---- to be overridden

    def handlers(self) -> Iterable[Any]:
        """wokkel's XMPPHandlers, or what is alike: they get the stanzas in this order."""
        return ()

    def make(self, links: Links) -> StanzaComponent:
        """What takes and sends the stanzas; by default, what shows them to the handlers."""
        # Only here, for it needs wokkel and twisted.words, which others do without.
        from jabberd_tx.components.plugins.handlers_component import HandlersComponent

        return HandlersComponent(links, self.domain, self.reactor, self.policy, self.handlers())

    def start(self) -> Awaitable[None] | None:
        """It is about to serve its name; afterwards, if this takes time."""

    def stop(self) -> Awaitable[None] | None:
        """It has done all its work."""


def common_options(kind: type[ComponentPlugin]) -> tuple[Option, ...]:
    """Those that every component has."""
    below = kind.subdomain or kind.name
    return (
        Option('enabled', bool, kind.enabled, 'Whether it runs.'),
        Option('domain', str, '', f'The name that it serves; without one, {below}. and the first of server.domains.'),
        Option(
            'connect', str, '',
            "Where a server takes components by XEP-0114, as Twisted's endpoints are written: tcp:localhost:5347, or "
            "tls:… . Without it, the component is linked to the site's own routers.",
        ),
        Option('secret', str, '', 'What that server knows the component by.', secret=True),
        Option('insecure', bool, False, 'Allow a connection without TLS beyond this machine.'),
        Option('weight', float, 1.0, 'The share of this instance, of several (docs/routing.md).', low=0.001, high=1000),
        Option('slots', int, 0, 'Share the name out over so many slots; 0: over the instances.', low=0, high=1024),
        Option('slot', int, -1, 'The slot of this instance; -1: the lowest that is free.', low=-1, high=1023),
    )  # fmt: skip


def _check_remote(section: str, values: Any) -> None:
    if not (values.enabled and values.connect):
        return
    for name in ('domain', 'secret'):
        if not getattr(values, name):
            raise ValueError(f'{section}.{name}: expected, as {section}.connect is set')
    kind, _, rest = values.connect.partition(':')
    host = rest.partition(':')[0].removeprefix('host=')
    if kind in ('tcp', 'tcp4', 'tcp6', 'haproxy') and not is_loopback(host) and not values.insecure:
        raise ValueError(
            f'{section}.connect: expected tls: beyond this machine, not {values.connect!r} '
            f'(or {section}.insecure = true)'
        )
