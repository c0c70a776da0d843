"""Which modules there are, and those that are on: found by declaration, made and wired here."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger
from twisted.plugin import getPlugins

from jabberd_tx.base.options import Section
from jabberd_tx.components.sm import modules as own_modules
from jabberd_tx.components.sm.module import HookUse, IModule, Module
from jabberd_tx.storage.module_tables import ModuleTables

if TYPE_CHECKING:
    from jabberd_tx.components.sm.service import SessionManager


class DuplicateModule(ValueError):
    """Two modules have one name."""


def found(more: Sequence[type[Module]] = ()) -> dict[str, type[Module]]:
    """All modules by name: the package's own first, then those of twisted.plugins, each in order of their names, and
    `more` that somebody has at hand.

    DuplicateModule when two have one name.  A plugin file that can't be imported is logged by twisted.plugin.
    """
    by_name: dict[str, type[Module]] = {}
    installed: list[Any] = list(getPlugins(IModule))
    for kind in [*_own(), *sorted(installed, key=lambda kind: kind.name), *more]:
        known = by_name.setdefault(kind.name, kind)
        if known is not kind:
            raise DuplicateModule(f'{known.__module__} and {kind.__module__} both declare a module named {kind.name}')
    return by_name


def _own() -> list[type[Module]]:
    kinds: list[Any] = []
    for info in sorted(pkgutil.iter_modules(own_modules.__path__), key=lambda info: info.name):
        file = import_module(f'{own_modules.__name__}.{info.name}')
        # Only what the file itself defines: it may import others.
        kinds += [
            thing for thing in vars(file).values()
            if IModule.providedBy(thing) and thing.__module__ == file.__name__
        ]  # fmt: skip
    return kinds


def sections(more: Sequence[type[Module]] = ()) -> list[Section]:
    """The options of all modules that are installed, and of `more`, for the config file."""
    return [kind.section() for kind in found(more).values()]


def tables(values: Callable[[Section], Any], more: Sequence[type[Module]] = ()) -> list[ModuleTables]:
    """What the modules that are on keep in the database; `values` gives those of a section of the configuration."""
    return [
        kind.tables for kind in found(more).values() if kind.tables is not None and values(kind.section()).enabled
    ]


class ActiveModules:
    """The modules that are on, by name."""

    log = Logger()

    def __init__(self, sm: SessionManager, values: Mapping[str, Any], more: Sequence[type[Module]] = ()) -> None:
        """`values`: each section's values by the section's name ('modules.ping'); one that isn't there has its
        defaults.  `more`: modules beside those that are installed."""
        self._sm = sm
        self.by_name: dict[str, Module] = {}
        self._failed: set[str] = set()
        self._installed = found(more)
        for kind in self._installed.values():
            section = kind.section()
            options = values.get(section.name)
            if options is None:
                options = section.defaults()
            if options.enabled:
                self._add(kind(sm, options))

    def _add(self, module: Module) -> None:
        self.by_name[module.name] = module
        for use, method in module.uses():
            if isinstance(use, HookUse):
                self._sm.hooks.add(use.point, method, use.order, module.name)
            else:
                self._sm.iqs.add(use, method, module.name)

    def __contains__(self, name: str) -> bool:
        return name in self.by_name

    def start(self) -> None:
        """Start all; one that fails is taken out again, so that nothing of it is advertised."""
        for name, module in list(self.by_name.items()):
            try:
                module.start()
            except Exception:
                self.log.failure('module {name} could not start', name=name)
                self._sm.hooks.remove(name)
                self._sm.iqs.remove(name)
                del self.by_name[name]
                self._failed.add(name)

    def stop(self) -> None:
        """Stop all."""
        for name, module in self.by_name.items():
            try:
                module.stop()
            except Exception:
                self.log.failure('module {name} failed to stop', name=name)

    def server_features(self) -> list[str]:
        """Of the domain."""
        return [feature for module in self.by_name.values() for feature in module.server_features]

    def account_features(self) -> list[str]:
        """Of an account."""
        return [feature for module in self.by_name.values() for feature in module.account_features]

    def listing(self) -> list[dict[str, Any]]:
        """For an operator, each module that is installed:

        name, help, xeps, features, module   what it is, and the Python module that it comes from
        state      'on', 'off', or 'failed': it could not start
        hooks      [point, order, the handler's name]: the handlers that are in their places
        answers    [get or set, namespace, name, [places]]
        calls, failures   so far
        """
        seats, iqs = self._sm.hooks.listing(), self._sm.iqs.listing()
        return [
            {
                'name': name,
                'state': 'on' if name in self.by_name else 'failed' if name in self._failed else 'off',
                'help': kind.help,
                'xeps': list(kind.xeps),
                'module': kind.__module__,
                'features': sorted({*kind.server_features, *kind.account_features}),
                'hooks': [[seat.point, seat.order, seat.handler] for seat in seats if seat.owner == name],
                'answers': [[iq.kind, iq.ns, iq.name, list(iq.places)] for iq in iqs if iq.owner == name],
                'calls': self._sm.tallies.of(name).calls,
                'failures': self._sm.tallies.of(name).failures,
            }
            for name, kind in self._installed.items()
        ]
