"""What a module of the session manager is: a small file with a class that declares everything.

    class Ping(Module):
        \"\"\"Answers pings (XEP-0199).\"\"\"

        name = 'ping'
        xeps = ('XEP-0199',)
        server_features = account_features = (ns.PING,)

        @answers('get', ns.PING, 'ping', SERVER, OWN_ACCOUNT)
        def pong(self, request): return None

The package's own modules stand in `modules/`.  One from elsewhere is found by twisted.plugin: import or define the
class in a file of `twisted/plugins/`.  Nothing is registered by hand.  Options go below [modules.NAME], where
`enabled = false` switches a module off: it is not made, and nothing of it is advertised.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

from twisted.plugin import IPlugin
from zope.interface import Attribute, Interface, directlyProvides

from jabberd_tx.base.options import Option, Section
from jabberd_tx.storage.module_tables import ModuleTables

if TYPE_CHECKING:
    from jabberd_tx.components.sm.service import SessionManager

# Whom an IQ is for.
SERVER = 'server'  # the domain
OWN_ACCOUNT = 'own account'  # the bare JID of its sender, or no `to`
OTHER_ACCOUNT = 'other account'  # the bare JID of another user, who exists

F = TypeVar('F', bound=Callable[..., Any])


class IModule(Interface):
    """A kind of module: called, it makes one for a session manager."""

    name = Attribute('str: what it is called in the config and in lists.')
    xeps = Attribute('The specifications that it implements: a tuple of str.')
    help = Attribute('One sentence for the reference page.')
    server_features = Attribute('disco#info features of the domain while it is on: a tuple of str.')
    account_features = Attribute('disco#info features of accounts while it is on: a tuple of str.')

    tables = Attribute('What it keeps in the database: ModuleTables, or None.')

    def section() -> Section:
        """The options, [modules.NAME]; the first is `enabled`."""

    def declared() -> list[tuple[HookUse | IqUse, str]]:
        """The hooks and the IQs that it answers, with the names of the methods."""

    def __call__(sm: SessionManager, options: Any) -> Module:
        """A module at work; `options` are the section's values."""


class HookUse(NamedTuple):
    """A method is a handler of a hook."""

    point: str
    order: int


class IqUse(NamedTuple):
    """A method answers IQs: `kind` is get or set, `places` whom they may be for."""

    kind: str
    ns: str
    name: str
    places: frozenset[str]


def hook(point: str, order: int = 50) -> Callable[[F], F]:
    """The method is a handler of that point (hooks.py)."""
    return _note(HookUse(point, order))


def answers(kind: str, ns: str, name: str, *places: str) -> Callable[[F], F]:
    """The method answers IQs of that kind ('get', 'set') with that child, for the places given (SERVER …).

    It gets an IqRequest (iq.py).  Returns None for an empty result, a Stanza, or an awaitable of them;
    StanzaError refuses.
    """
    return _note(IqUse(kind, ns, name, frozenset(places)))


def _note(use: HookUse | IqUse) -> Callable[[F], F]:
    def noted(method: F) -> F:
        method.__dict__.setdefault('uses', []).append(use)
        return method

    return noted


class Module:
    """Base class of modules.  What a subclass does not declare, it does not have."""

    name: ClassVar[str] = ''
    xeps: ClassVar[tuple[str, ...]] = ()
    server_features: ClassVar[tuple[str, ...]] = ()
    account_features: ClassVar[tuple[str, ...]] = ()
    options: ClassVar[tuple[Option, ...]] = ()
    tables: ClassVar[ModuleTables | None] = None
    enabled: ClassVar[bool] = True

    help: ClassVar[str] = ''

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if not cls.help:
            cls.help = (cls.__doc__ or '').strip().partition('\n')[0]
        if cls.tables is not None and cls.tables.name != cls.name:
            raise ValueError(f'{cls.__name__}: the tables are those of {cls.tables.name}, not of {cls.name}')
        if cls.name:
            directlyProvides(cls, IModule, IPlugin)

    def __init__(self, sm: SessionManager, values: Any) -> None:
        self.sm = sm
        self.values = values

    @classmethod
    def section(cls) -> Section:
        """[modules.NAME] of the config."""
        return Section(
            f'modules.{cls.name}',
            ' '.join([cls.help, *([f'({", ".join(cls.xeps)})'] if cls.xeps else [])]),
            Option('enabled', bool, cls.enabled, 'Whether the module is on.'),
            *cls.options,
        )

    def start(self) -> None:
        """The session manager is about to take work."""

    def stop(self) -> None:
        """It has done all its work."""

    @classmethod
    def declared(cls) -> list[tuple[HookUse | IqUse, str]]:
        """What the class declares by `hook` and `answers`, with the methods' names, in the order of these."""
        return [
            (use, name)
            for name in sorted(dir(cls))
            for use in getattr(getattr(cls, name), 'uses', None) or ()
            if isinstance(use, HookUse | IqUse)
        ]

    def uses(self) -> list[tuple[HookUse | IqUse, Callable[..., Any]]]:
        """The same with the bound methods."""
        return [(use, getattr(self, name)) for use, name in self.declared()]
