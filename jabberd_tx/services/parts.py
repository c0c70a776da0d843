"""The parts that the processes are put together from: each is made, started, and set to be stopped with the process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from jabberd_tx.base import site, tls
from jabberd_tx.base.certificates import CertificateError
from jabberd_tx.base.options import ConfigError
from jabberd_tx.base.tls import ServerContexts
from jabberd_tx.components.c2s import options as c2s_options
from jabberd_tx.components.c2s.key_file import read_key
from jabberd_tx.components.c2s.service import C2S
from jabberd_tx.components.gateway import options as gateway_options
from jabberd_tx.components.gateway.service import Gateway
from jabberd_tx.components.plugins.plugin import ComponentPlugin
from jabberd_tx.components.sm import options as sm_options
from jabberd_tx.components.sm.cancelling import cancel_account
from jabberd_tx.components.sm.finding import sections as module_sections
from jabberd_tx.components.sm.module import Module
from jabberd_tx.components.sm.service import SessionManager
from jabberd_tx.components.stanza_component import StanzaComponent
from jabberd_tx.components.tables import all_tables
from jabberd_tx.control.account_operations import account_operations, cancel_operation, kick_operation
from jabberd_tx.control.invite_operations import invite_operations
from jabberd_tx.control.module_operations import modules_operation
from jabberd_tx.control.recording import recording_operations
from jabberd_tx.control.trace_operation import trace_operation
from jabberd_tx.link import options as link_options
from jabberd_tx.link.local import LocalLinks
from jabberd_tx.link.pool import Pool
from jabberd_tx.routing import options as routing_options
from jabberd_tx.routing.access import ACCESS, AccessRules
from jabberd_tx.routing.figures import names_of, nodes_of
from jabberd_tx.routing.filters import FILTERS, FilterRules
from jabberd_tx.routing.other_names import ALIASES
from jabberd_tx.routing.router import Router
from jabberd_tx.services.copies import open_copies
from jabberd_tx.services.server import Server
from jabberd_tx.services.sessions import open_sessions
from jabberd_tx.storage.operations import Storage
from jabberd_tx.storage.redis import options as redis_options
from jabberd_tx.storage.sql import sqlite
from jabberd_tx.storage.sql.choosing import connections, database
from jabberd_tx.storage.sql.storage import SqlStorage
from jabberd_tx.xmpp.jid import InvalidJid, parse

# Makes a component from its links, its name and the reactor: a subclass of StanzaComponent does.
MakeComponent = Callable[[Any, str, Any], StanzaComponent]


def domains_of(process: Server) -> list[str]:
    """The prepared domains; ConfigError for what is none."""
    found = []
    for text in process.section(site.OPTIONS).domains:
        try:
            jid = parse(text)
        except InvalidJid as error:
            raise ConfigError(f'server.domains: expected domain names, not {text!r}: {error}') from None
        if jid.local or jid.resource:
            raise ConfigError(f'server.domains: expected domain names, not {text!r}')
        found.append(jid.domain)
    return found


async def open_storage(
    process: Server, more_modules: Sequence[type[Module]] = (), more_plugins: Sequence[type[ComponentPlugin]] = ()
) -> Storage:
    """The site's storage, with the tables of modules and component plugins, those that are installed and `more_…`;
    and with the operations of `jabberd-ctl user`."""
    section = process.section
    storage = SqlStorage(
        database(section),
        process.reactor,
        section(sqlite.OPTIONS),
        process.metrics,
        process.turn,
        all_tables(section, more_modules, more_plugins),
        connections(section),
    )
    await storage.start()
    process.on_stop(_stopper(storage))
    for name, operation in {**account_operations(storage), **invite_operations(storage)}.items():
        process.admin.register(name, operation)
    return storage


def make_router(process: Server) -> Router:
    """The router itself, whose rules follow a reload; what listens for links is services/router.py's."""
    options, aliases = process.section(routing_options.OPTIONS), process.section(ALIASES)
    filters, access = process.section(FILTERS), process.section(ACCESS)
    router = Router(
        process.name_of('router'),
        process.reactor,
        process.turn,
        options,
        process.metrics,
        process.section(routing_options.ROUTES),
        aliases,
        AccessRules(access),
    )
    router.filter_by(FilterRules(filters))
    for name, operation in recording_operations(router, process.reactor).items():
        process.admin.register(name, operation)
    process.figures['nodes'] = lambda: nodes_of(router)
    process.figures['names'] = lambda: names_of(router)

    def rename() -> None:
        router.rename(options.default, aliases)

    def set_access() -> None:
        router.access = AccessRules(access)

    process.reload.on_change(FILTERS, lambda changes: router.filter_by(FilterRules(filters)))
    process.reload.on_change(ACCESS, lambda changes: set_access())
    process.reload.on_change(ALIASES, lambda changes: rename())
    process.reload.on_change(routing_options.OPTIONS, lambda changes: rename())
    process.admin.register('trace', trace_operation(router))
    return router


def local_links(process: Server, component: str, router: Router) -> LocalLinks:
    """A component's link to the router in the same process."""
    links = LocalLinks(process.name_of(component), router, process.turn)
    process.metrics.gauge('jabberd_link_waiting_frames', 'Frames that wait in this process.', lambda: links.waiting)
    return links


def pooled_links(process: Server, component: str) -> Pool:
    """A component's links to all routers."""
    options = process.section(link_options.OPTIONS)
    pool = Pool(process.name_of(component), options, process.reactor, process.turn, process.metrics)
    process.links.append(pool.status)
    process.http.check('links', lambda: None if pool.links or pool.stopped else 'no link to any router')
    process.reload.on_change(link_options.OPTIONS, lambda changes: pool.set_addresses(options.routers))
    process.reload.on_change(link_options.OPTIONS, lambda changes: pool.read_tls())
    if options.tls_authority:
        process.reload.always('certificates of links', pool.read_tls)
    return pool


async def start_sm(
    process: Server, links: Any, storage: Storage, more_modules: Sequence[type[Module]] = ()
) -> SessionManager:
    """The session manager, over the sessions that [redis] says; `more_modules`: beside those that are installed."""
    options = {section.name: process.section(section) for section in module_sections(more_modules)}
    sm = SessionManager(
        links,
        storage,
        open_sessions(process),
        domains_of(process),
        process.section(sm_options.OPTIONS),
        process.reactor,
        process.turn,
        process.metrics,
        options,
        more_modules,
        open_copies(process),
        process.section(redis_options.OPTIONS).lease,
    )
    _start_links(process, links)
    process.on_stop(sm.stop)
    sm.start()
    process.figures['sm'] = sm.status
    process.admin.register('kick', kick_operation(sm.kick))
    process.admin.register('account.cancel', cancel_operation(partial(cancel_account, sm)))
    process.admin.register('modules', modules_operation(sm.modules.listing))
    return sm


async def start_c2s(process: Server, links: Any, storage: Storage) -> C2S:
    """Client connections: listens when all else is there."""
    contexts, redis = _contexts(process), process.section(redis_options.OPTIONS)
    c2s = C2S(
        links,
        storage,
        domains_of(process),
        process.section(c2s_options.OPTIONS),
        process.reactor,
        process.turn,
        process.metrics,
        contexts,
        _has_carbons(process),
        _token_key(process),
        open_copies(process),
        redis.copies,
        redis.lease,
    )
    _start_links(process, links)
    process.on_stop(c2s.stop)
    c2s.start()
    process.figures['c2s'] = c2s.status
    process.http.check('clients', lambda: 'about to leave' if c2s.stopping else None)
    process.reload.on_change(c2s_options.OPTIONS, lambda changes: c2s.options_changed())
    return c2s


def start_gateway(process: Server, make_links: Callable[[str], Any]) -> Gateway:
    """External components (XEP-0114), as many as there are; `make_links`: of a component of that name (name_of)."""
    tables = process.section(gateway_options.EXTERNAL)
    options = process.section(gateway_options.OPTIONS)
    contexts = _contexts(process) if options.tls_port else None
    if options.tls_port and contexts is None:
        raise ConfigError('gateway.tls_port: there is no [[certificate]]')
    gateway = Gateway(
        lambda label: make_links(f'gateway-{label}'),
        domains_of(process),
        options,
        tables,
        process.reactor,
        process.turn,
        process.metrics,
        contexts,
        {route.name: route.slots for route in process.section(routing_options.ROUTES)},
    )
    process.on_stop(gateway.stop)
    gateway.start()
    process.figures['gateway'] = gateway.status
    process.reload.on_change(gateway_options.EXTERNAL, lambda changes: gateway.tables_changed())
    return gateway


def start_component(process: Server, links: Any, make: MakeComponent, name: str) -> StanzaComponent:
    """A component that serves a name of its own."""
    component = make(links, name, process.reactor)
    _start_links(process, links)
    process.on_stop(component.stop)
    component.start()
    process.figures[name] = component.status
    return component


def _has_carbons(process: Server) -> bool:
    """Whether the site's session managers have XEP-0280, by the configuration that is theirs as well."""
    return any(section.name == 'modules.carbons' and process.section(section).enabled for section in module_sections())


def _token_key(process: Server) -> bytes:
    """For XEP-0484; b'' where that is off from the start."""
    options = process.section(c2s_options.OPTIONS)
    if not (options.fast and options.sasl2):
        return b''
    try:
        return read_key(options.fast_key)
    except (OSError, ValueError) as error:
        raise ConfigError(f'c2s.fast_key: expected a key file: {error}') from None


def _contexts(process: Server) -> ServerContexts | None:
    tables = process.section(tls.OPTIONS)
    if not tables:
        return None
    try:
        contexts = ServerContexts.from_options(tables)
    except CertificateError as error:
        raise ConfigError(f'certificate: {error}') from None

    def read_again() -> None:
        reason = contexts.reload([(table.domains, table.chain, table.key) for table in tables])
        if reason is not None:
            raise ConfigError(reason)

    process.reload.always('certificates', read_again)
    return contexts


def _start_links(process: Server, links: Any) -> None:
    links.start()
    process.on_stop(_stopper(links))


def _stopper(part: Any) -> Any:
    async def stop() -> None:
        stopped = part.stop()
        if stopped is not None:
            await stopped

    return stop
