"""Component plugins as parts of a process: each with links of its own, to this site's routers or to a server that takes
it in by XEP-0114."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from jabberd_tx.base.options import ConfigError
from jabberd_tx.components.plugins.finding import found
from jabberd_tx.components.plugins.hosted import HostedPlugins, domain_of
from jabberd_tx.components.plugins.plugin import ComponentPlugin, Place
from jabberd_tx.components.plugins.remote_links import RemoteLinks
from jabberd_tx.control.component_operations import components_operation
from jabberd_tx.services.parts import domains_of
from jabberd_tx.services.server import Server
from jabberd_tx.storage.operations import Storage


def want_storage(process: Server, more: Sequence[type[ComponentPlugin]] = ()) -> bool:
    """Whether one that is on keeps anything."""
    return any(kind.tables is not None and process.section(kind.section()).enabled for kind in found(more).values())


async def start_plugins(
    process: Server,
    own_links: Callable[[str], Any],
    storage: Storage | None = None,
    more: Sequence[type[ComponentPlugin]] = (),
) -> HostedPlugins:
    """Start all that the configuration has on.  ConfigError.

    own_links  makes links to this site's routers, for the plugin of a name
    more       plugins beside those that are installed
    """
    installed = found(more)
    hosted = HostedPlugins(installed, process.reactor, process.metrics)
    process.admin.register('components', components_operation(hosted.listing))
    served: dict[str, str] = {}
    for name, kind in installed.items():
        values = process.section(kind.section())
        if not values.enabled:
            continue
        domain = domain_of(kind, values, domains_of(process))
        if served.setdefault(domain, name) != name:
            raise ConfigError(f'component.{name}.domain: {domain} is that of component.{served[domain]}')
        place = Place(domain, process.reactor, process.metrics, storage if kind.tables is not None else None)
        links = _remote_links(process, name, domain, values) if values.connect else own_links(name)
        one = await hosted.start(kind, place, values, links)
        if one is not None:
            process.on_stop(_stopper(hosted, name))
            process.figures[domain] = one.component.status
            process.http.check(f'component {name}', _is_linked(links, values.connect or 'any router'))
    return hosted


def _remote_links(process: Server, name: str, domain: str, values: Any) -> RemoteLinks:
    try:
        return RemoteLinks(
            process.name_of(name), domain, values.connect, values.secret, process.reactor, process.turn
        )  # fmt: skip
    except Exception as error:
        # Whatever the kind of endpoint says of its parts: ValueError, TypeError, of files OSError and others.
        wanted = f"an endpoint such as 'tcp:localhost:5347', not {values.connect!r}"
        raise ConfigError(f'component.{name}.connect: expected {wanted}: {error!r}') from None


def _is_linked(links: Any, server: str) -> Callable[[], str | None]:
    return lambda: None if links.pick('') is not None else f'no link to {server}'


def _stopper(hosted: HostedPlugins, name: str) -> Callable[[], Awaitable[None]]:
    return lambda: hosted.stop(name)
