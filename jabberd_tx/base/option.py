"""What one option of the configuration may be, and the table that it stands in.

Code declares its options with these, by way of base/options.py, which reads the file.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

_VARIABLE = re.compile(r'\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}')
_KINDS = {bool: 'true or false', int: 'an integer', float: 'a number', str: 'a string', list: 'a list of strings'}


class ConfigError(Exception):
    """A configuration that must not be used.  str(error) is one line: file, key, what was expected."""

    def __init__(self, text: str) -> None:
        super().__init__(' '.join(text.splitlines()))


@dataclass(frozen=True)
class Option:
    """One key of a section.

    kind    bool, int, float, str, or list (of str)
    unit    's', 'bytes', … for the reference page
    low, high  inclusive bounds of a number, or of the length of a str or list
    choices  the only values allowed; of a list, the only items
    reload  True when a running server can apply a new value; else it names the restart
    secret  never shown; may also be given as `NAME_file`, the path of a file whose first line is the value
    path    a str that names a file or folder: `${VARIABLE}` and `${VARIABLE:-default}` are replaced from the
            environment, and a relative path is below the folder `data` of [server]
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
    path: bool = False

    def expected(self) -> str:
        """What a value must be, in words: 'an integer from 0 to 65535'."""
        if self.choices:
            names = ', '.join(repr(choice) for choice in self.choices)
            return f'a list, each item one of {names}' if self.kind is list else f'one of {names}'
        what, bounds = 'a path' if self.path else _KINDS[self.kind], self._bounds()
        if self.kind in (int, float):
            unit = self.unit and (f' {self.unit}' if bounds else f' ({self.unit})')
            return f'{what}{bounds}{unit}'
        if not bounds:
            return what
        bounds = bounds.replace(' from', '')
        if self.kind is list:
            return f'a list of{bounds} {"string" if (self.high or self.low) == 1 else "strings"}'
        if self.low == 1 and self.high is None:
            return f'{what} that is not empty'
        return f'{what} of{bounds} characters'

    def _bounds(self) -> str:
        """' from 1 to 10', ' at least 1', ' at most 10' or ''."""
        low, high = (None if bound is None else repr(bound).removesuffix('.0') for bound in (self.low, self.high))
        if self.kind in (str, list) and self.low == 0:
            low = None
        if low is not None and high is not None:
            return f' from {low} to {high}' if low != high else f' exactly {low}'
        if low is not None:
            return f' at least {low}'
        return '' if high is None else f' at most {high}'

    def check(self, value: Any) -> Any:
        """The value as the code wants it (a float for a whole number, variables replaced).

        ValueError: what was expected, and what came instead (of a secret: nothing)."""
        if self.kind is float and type(value) is int:
            value = float(value)
        if not self._is_good(value):
            raise ValueError(f'expected {self.expected()}' + ('' if self.secret else f', not {_shown(value)}'))
        return expand(value) if self.path else list(value) if self.kind is list else value

    def _is_good(self, value: Any) -> bool:
        # bool is an int, so that isinstance would take `port = true`.
        right_kind = type(value) is self.kind
        if not right_kind:
            return False
        if self.kind is list and not all(type(item) is str for item in value):
            return False
        if self.choices and not all(item in self.choices for item in (value if self.kind is list else [value])):
            return False
        if self.kind is float and not math.isfinite(value):
            return False
        size = len(value) if self.kind in (str, list) else value
        return not (self.low is not None and size < self.low or self.high is not None and size > self.high)


class Section:
    """A table of the TOML file.  `many`: an array of tables ([[name]]), each with these options.

    A dot in the name is a table in a table: 'modules.ping' is [modules.ping].

    rule  what must hold between options, of this section and of others: called with a function that gives the values
          of a section; ValueError('link.credit: expected …') when it does not"""

    def __init__(
        self, name: str, help: str, *options: Option, many: bool = False, rule: Callable[[ValuesOf], None] | None = None
    ) -> None:
        self.name, self.help, self.options, self.many, self.rule = name, help, options, many, rule

    def defaults(self) -> SimpleNamespace:
        """An object with every option at its default: for tests and embedding."""
        return SimpleNamespace(**{option.name: copied(option.default) for option in self.options})


# The values of a section, as Config.section gives them.
ValuesOf = Callable[[Section], Any]


def copied(value: Any) -> Any:
    """The value, or a copy that its user may change."""
    return list(value) if isinstance(value, list | tuple) else value


def expand(text: str) -> str:
    """Replace ${NAME} and ${NAME:-default} from the environment; ValueError for one that is not set."""

    def value(match: re.Match[str]) -> str:
        found = os.environ.get(match['name']) or match['default']
        if found is None:
            raise ValueError(f'expected the environment variable {match["name"]} to be set')
        return found

    return _VARIABLE.sub(value, text)


def _shown(value: Any) -> str:
    """A value for a message of one line."""
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + '...'
