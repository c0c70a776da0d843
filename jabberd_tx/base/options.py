"""Options are declared beside the code that uses them, and read from one TOML file for all services.

    OPTIONS = Section(
        'c2s', 'Client connections.',
        Option('port', int, 5222, 'TCP port for clients.', low=0, high=65535),
        Option('login_timeout', float, 30.0, 'From the connection to the bound resource.', unit='s', low=1),
    )

`Config.section(OPTIONS)` gives an object with an attribute for each option.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any


@dataclass(frozen=True)
class Option:
    """One key of a section.

    kind    bool, int, float, str, or list (of str)
    unit    's', 'bytes', … for the reference page
    low, high  inclusive bounds of a number, or of the length of a str or list
    choices  the only values allowed
    reload  True when a running server can apply a new value; else it names the restart
    secret  never shown
    """

    name: str
    kind: type
    default: Any
    help: str
    unit: str = ''
    low: float | None = None
    high: float | None = None
    choices: tuple[Any, ...] = ()
    reload: bool = False
    secret: bool = False


class Section:
    """A table of the TOML file.  `many`: an array of tables ([[name]]), each with these options."""

    def __init__(self, name: str, help: str, *options: Option, many: bool = False) -> None:
        self.name, self.help, self.options, self.many = name, help, options, many

    def defaults(self) -> SimpleNamespace:
        """An object with every option at its default: for tests and embedding."""
        return SimpleNamespace(**{option.name: option.default for option in self.options})
