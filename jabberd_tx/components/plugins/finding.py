"""Which component plugins are installed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.plugin import getPlugins

from jabberd_tx.base.options import ConfigError, Section
from jabberd_tx.components.plugins.plugin import ComponentPlugin, IComponentPlugin
from jabberd_tx.storage.module_tables import ModuleTables


class DuplicatePlugin(ConfigError):
    """Two component plugins have one name."""


def found(more: Sequence[type[ComponentPlugin]] = ()) -> dict[str, type[ComponentPlugin]]:
    """All by name, in order of their names, and `more` that somebody has at hand.

    DuplicatePlugin when two have one name.  A plugin file that can't be imported is logged by twisted.plugin.
    """
    by_name: dict[str, type[ComponentPlugin]] = {}
    installed: list[Any] = list(getPlugins(IComponentPlugin))
    for kind in [*sorted(installed, key=lambda kind: kind.name), *more]:
        known = by_name.setdefault(kind.name, kind)
        if known is not kind:
            raise DuplicatePlugin(f'{known.__module__} and {kind.__module__} both declare a component {kind.name}')
    return by_name


def sections(more: Sequence[type[ComponentPlugin]] = ()) -> list[Section]:
    """The options of all that are installed, and of `more`, for the config file."""
    return [kind.section() for kind in found(more).values()]


def tables(values: Callable[[Section], Any], more: Sequence[type[ComponentPlugin]] = ()) -> list[ModuleTables]:
    """What those that are on keep in the database; `values` gives those of a section of the configuration."""
    return [
        kind.tables for kind in found(more).values() if kind.tables is not None and values(kind.section()).enabled
    ]
