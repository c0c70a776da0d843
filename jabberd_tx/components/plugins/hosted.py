"""The component plugins of a process: those that are on, at work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import isawaitable
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from jabberd_tx.base.metrics import Metrics
from jabberd_tx.base.options import ConfigError
from jabberd_tx.components.plugins.plugin import ComponentPlugin, Place
from jabberd_tx.components.stanza_component import StanzaComponent
from jabberd_tx.xmpp.jid import InvalidJid, parse

# How long a plugin's own start and stop may take.
START_S, STOP_S = 60.0, 10.0


class Hosted(NamedTuple):
    """One at work.  `links`: those of the component, or of RemoteLinks."""

    plugin: ComponentPlugin
    component: StanzaComponent
    links: Any


class HostedPlugins:
    """See the module's text.  `by_name`: those at work, by the plugins' names."""

    log = Logger()

    def __init__(self, installed: Mapping[str, type[ComponentPlugin]], reactor: IReactorTime, metrics: Metrics) -> None:
        self.by_name: dict[str, Hosted] = {}
        self._installed, self._reactor = installed, reactor
        self._failed: set[str] = set()
        self._metrics: Metrics | None = metrics  # until something is counted

    def _count(self) -> None:
        metrics, self._metrics = self._metrics, None
        if metrics is None:
            return
        for name, help, number in (
            ('jabberd_component_stanzas', 'Stanzas that a component has taken.', lambda one: one.stanzas),
            ('jabberd_component_faults', 'Stanzas at which a component has failed.', lambda one: one.faults),
        ):
            metrics.counted(name, help, self._reader(number), label='component')
        for name, help, figure in (
            ('jabberd_component_taken', 'Stanzas that a component is not done with.', 'taken'),
            ('jabberd_component_sent', 'Stanzas of a component that nobody has confirmed yet.', 'sent'),
        ):
            metrics.gauge(name, help, self._reader(_figure(figure)), label='component')

    def _reader(self, number: Callable[[StanzaComponent], float]) -> Callable[[], dict[str, float]]:
        return lambda: {name: number(one.component) for name, one in self.by_name.items()}

    async def start(self, kind: type[ComponentPlugin], place: Place, values: Any, links: Any) -> Hosted | None:
        """Make one and have it serve its name over links that are not started.  None: it has failed, and is left
        out; it is logged."""
        try:
            plugin = kind(place, values)
            component = plugin.make(links)
            await self._in_time(plugin.start(), START_S)
        except ConfigError:
            raise
        except Exception:
            self.log.failure('component {name} could not start', name=kind.name)
            self._failed.add(kind.name)
            return None
        links.start()
        component.start(**plugin.bind_options)
        self._count()
        hosted = self.by_name[kind.name] = Hosted(plugin, component, links)
        return hosted

    async def stop(self, name: str) -> None:
        """Finish what is under way, and serve the name no more."""
        plugin, component, links = self.by_name[name]
        await component.stop()
        await self._in_time(links.stop(), STOP_S)
        try:
            await self._in_time(plugin.stop(), STOP_S)
        except Exception:
            self.log.failure('component {name} failed to stop', name=name)
        del self.by_name[name]

    async def _in_time(self, work: Any, seconds: float) -> None:
        """Wait for it, if it is to be waited for at all."""
        if isawaitable(work):
            await Deferred.fromCoroutine(_wait(work)).addTimeout(seconds, self._reactor)

    def listing(self) -> list[dict[str, Any]]:
        """For an operator, each plugin that is installed:

        name, help, xeps, module   what it is, and the Python module that it comes from
        state      'on', 'off', or 'failed': it could not start
        and of those that are on
        domain     that it serves
        server     where it is taken in by XEP-0114; '' for the routers of this site
        linked     whether it has a link at all
        handlers   the classes of wokkel's handlers that it is made of
        stanzas, faults, taken, sent   as the metrics have them
        """
        return [self._told(kind) for kind in self._installed.values()]

    def _told(self, kind: type[ComponentPlugin]) -> dict[str, Any]:
        hosted = self.by_name.get(kind.name)
        told: dict[str, Any] = {
            'name': kind.name,
            'help': kind.help,
            'xeps': list(kind.xeps),
            'module': kind.__module__,
            'state': 'on' if hosted is not None else 'failed' if kind.name in self._failed else 'off',
        }
        if hosted is not None:
            plugin, component, links = hosted
            told |= {
                'domain': component.name,
                'server': plugin.values.connect,
                'linked': links.pick('') is not None,
                'handlers': [type(handler).__name__ for handler in getattr(component, 'handlers', ())],
                'stanzas': component.stanzas,
                'faults': component.faults,
                **component.status(),
            }
        return told


async def _wait(work: Any) -> None:
    await work


def _figure(name: str) -> Callable[[StanzaComponent], float]:
    return lambda component: component.status()[name]


def domain_of(kind: type[ComponentPlugin], values: Any, domains: Sequence[str]) -> str:
    """The name that a plugin serves, prepared; `domains` are those of the site.  ConfigError."""
    text = values.domain or f'{kind.subdomain or kind.name}.{domains[0]}'
    option = f'component.{kind.name}.domain'
    try:
        jid = parse(text)
    except InvalidJid as error:
        raise ConfigError(f'{option}: expected a domain name, not {text!r}: {error}') from None
    if jid.local or jid.resource:
        raise ConfigError(f'{option}: expected a domain name, not {text!r}')
    if jid.domain in domains and not values.connect:
        raise ConfigError(f'{option}: {jid.domain} is the domain of users (server.domains)')
    return jid.domain
