"""What modules and component plugins keep in the database beside the server's own tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jabberd_tx.base.options import ConfigError, Section
from jabberd_tx.components.plugins import finding as plugins
from jabberd_tx.components.plugins.plugin import ComponentPlugin
from jabberd_tx.components.sm import finding as modules
from jabberd_tx.components.sm.module import Module
from jabberd_tx.storage.module_tables import ModuleTables


def all_tables(
    values: Callable[[Section], Any],
    more_modules: Sequence[type[Module]] = (),
    more_plugins: Sequence[type[ComponentPlugin]] = (),
) -> list[ModuleTables]:
    """Of those that are on; `values` gives those of a section of the configuration, `more_…` are beside those that are
    installed.  ConfigError for a module and a component that would have the same."""
    of_modules = modules.tables(values, more_modules)
    of_plugins = plugins.tables(values, more_plugins)
    for name in {one.name for one in of_modules} & {one.name for one in of_plugins}:
        raise ConfigError(f'component.{name}: there is a module {name} that keeps tables of that name')
    return [*of_modules, *of_plugins]
