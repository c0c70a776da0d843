"""All sections of the configuration file."""

from __future__ import annotations

from collections.abc import Sequence

from jabberd_tx.base import site, tls
from jabberd_tx.base.options import Section
from jabberd_tx.components.c2s import options as c2s
from jabberd_tx.components.gateway import options as gateway
from jabberd_tx.components.plugins.finding import sections as plugin_sections
from jabberd_tx.components.plugins.plugin import ComponentPlugin
from jabberd_tx.components.sm import options as sm
from jabberd_tx.components.sm.finding import sections as module_sections
from jabberd_tx.components.sm.module import Module
from jabberd_tx.control import http
from jabberd_tx.control import options as admin
from jabberd_tx.control.watchdog import options as watchdog
from jabberd_tx.link import options as link
from jabberd_tx.routing import access, filters, other_names
from jabberd_tx.routing import options as routing
from jabberd_tx.storage.redis import options as redis
from jabberd_tx.storage.sql import mysql, sqlite


def all_sections(
    more_modules: Sequence[type[Module]] = (), more_plugins: Sequence[type[ComponentPlugin]] = ()
) -> list[Section]:
    """In the order of the reference page, those of the modules and of component plugins last.

    more_modules, more_plugins  beside those that are installed (docs/embedding.md)
    """
    return [
        site.OPTIONS,
        tls.OPTIONS,
        c2s.OPTIONS,
        sm.OPTIONS,
        gateway.OPTIONS,
        gateway.EXTERNAL,
        sqlite.OPTIONS,
        mysql.OPTIONS,
        redis.OPTIONS,
        routing.OPTIONS,
        routing.ROUTES,
        other_names.ALIASES,
        filters.FILTERS,
        access.ACCESS,
        link.OPTIONS,
        http.OPTIONS,
        admin.OPTIONS,
        watchdog.OPTIONS,
        *module_sections(more_modules),
        *plugin_sections(more_plugins),
    ]
