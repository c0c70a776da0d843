"""Options are declared beside the code that uses them, and read from one TOML file for all services.

    OPTIONS = Section(
        'c2s', 'Client connections.',
        Option('port', int, 5222, 'TCP port for clients.', low=0, high=65535),
        Option('login_timeout', float, 30.0, 'From the connection to the bound resource.', unit='s', low=1),
    )

    config = load('etc/jabberd.toml', [OPTIONS, ...], ['c2s.port=5223'])
    config.section(OPTIONS).port

`load` checks the file whole; whatever is wrong raises a ConfigError of one line: file, key, what was expected.
`Config.differences` tells two of them apart, for a reload.

Paths: `data` of [server] is below the folder of the file, every other relative path is below `data`.
Without a file (embedding), the file's folder is the working directory.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from jabberd_tx.base.option import ConfigError, Option, Section, copied
from jabberd_tx.base.option_file import meant, override, parse, refuse_unknown, table_of

__all__ = ['Change', 'Config', 'ConfigError', 'Differences', 'Option', 'Section', 'load']


class Change(NamedTuple):
    """One option that has another value: its section, key ('c2s.port'), the values ('…' for a secret), and whether
    a running server can apply it."""

    section: Section
    key: str
    old: Any
    new: Any
    reload: bool

    def __str__(self) -> str:
        return f'{self.key}: {self.old!r} -> {self.new!r}'


class Differences(NamedTuple):
    """What a new configuration changes: options that a running server applies, and those that want a restart."""

    reload: list[Change]
    restart: list[Change]


class Config:
    """Checked values.  `section(OPTIONS)` is one object for the life of the Config, so that it may be held."""

    def __init__(self, path: Path | None, sections: Sequence[Section], overrides: Sequence[str]) -> None:
        """As `load` makes it."""
        self.path, self.sections, self.overrides = path, tuple(sections), tuple(overrides)
        self._values: dict[str, Any] = {}

    def section(self, section: Section) -> Any:
        """The section's values: an object with an attribute for each option, or, with `many`, a list of those."""
        return self._values[section.name]

    def reread(self) -> Config:
        """The same file and overrides, as they are now.  ConfigError as for `load`; this one is unchanged."""
        return load(self.path, self.sections, self.overrides)

    def differences(self, new: Config) -> Differences:
        """What changes from this to `new`.  Tables of an array are compared by their place in it."""
        found = Differences([], [])
        for section in self.sections:
            before, after = self.section(section), new.section(section)
            if not section.many:
                changes = _changes(section, section.name, before, after)
            elif len(before) == len(after):
                tables = enumerate(zip(before, after, strict=True))
                changes = [
                    change for n, (old, now) in tables for change in _changes(section, f'{section.name}.{n}', old, now)
                ]
            else:
                reload = all(option.reload for option in section.options)
                changes = [Change(section, section.name, f'{len(before)} tables', f'{len(after)} tables', reload)]
            for change in changes:
                (found.reload if change.reload else found.restart).append(change)
        return found

    def apply(self, new: Config) -> Differences:
        """Take over from `new` what a running server can apply, in the objects that `section` gave; tell the rest.

        An array of tables is taken over whole, and only if nothing in it wants a restart."""
        found = self.differences(new)
        held_back = {change.section.name for change in found.restart}
        for section in self.sections:
            before, after = self.section(section), new.section(section)
            if section.many:
                if section.name not in held_back:
                    before[:] = after
                continue
            for option in section.options:
                if option.reload:
                    setattr(before, option.name, getattr(after, option.name))
        return found


def _changes(section: Section, key: str, old: SimpleNamespace, new: SimpleNamespace) -> list[Change]:
    """The options of one table that differ."""
    found = []
    for option in section.options:
        before, after = getattr(old, option.name), getattr(new, option.name)
        if before != after:
            shown = ('…', '…') if option.secret else (before, after)
            found.append(Change(section, f'{key}.{option.name}', shown[0], shown[1], option.reload))
    return found


def load(path: str | os.PathLike[str] | None, sections: Sequence[Section], overrides: Sequence[str] = ()) -> Config:
    """Read and check.

    path       the TOML file; None: every option at its default
    sections   all that the file may have
    overrides  'c2s.port=5223', from the command line: a key and a TOML value (a string may go without quotes);
               'certificate.0.chain=…' for a table of an array
    """
    file = None if path is None else Path(path)
    label = 'defaults' if file is None else str(path)
    tree = {} if file is None else parse(file, label)
    for text in overrides:
        override(tree, text, sections)
    refuse_unknown(tree, sections, label)
    config = Config(file, sections, overrides)
    folder = Path.cwd() if file is None else file.resolve().parent
    # [server] first: its `data` is the folder of all other paths.
    for section in sorted(sections, key=lambda section: section.name != 'server'):
        found = table_of(tree, section, label)
        if section.many:
            config._values[section.name] = [
                _values(section, table, f'{label}: {section.name}.{index}', folder) for index, table in enumerate(found)
            ]
            continue
        values = _values(section, found, f'{label}: {section.name}', folder)
        config._values[section.name] = values
        if section.name == 'server' and hasattr(values, 'data'):
            folder = Path(values.data)
    _keep_rules(config, label)
    return config


def _keep_rules(config: Config, label: str) -> None:
    """What must hold between options.  One that the file may not have stands there with its default."""

    def values_of(section: Section) -> Any:
        return config.section(section) if section in config.sections else section.defaults()

    for section in config.sections:
        if section.rule is not None:
            try:
                section.rule(values_of)
            except ValueError as error:
                raise ConfigError(f'{label}: {error}') from None


def _values(section: Section, table: dict[str, Any], place: str, folder: Path) -> SimpleNamespace:
    """Check one table.  `place`: file and section, for the message."""
    options = {option.name: option for option in section.options}
    values = section.defaults()
    for option in section.options:
        if option.path and option.default:
            setattr(values, option.name, os.path.normpath(folder / option.check(option.default)))
    for key, value in table.items():
        option_here = options.get(key)
        try:
            if option_here is None:
                option_here = options.get(key.removesuffix('_file'))
                if not key.endswith('_file') or option_here is None or not option_here.secret:
                    raise ValueError(f'no such option{meant(key, options)}')
                if option_here.name in table:
                    raise ValueError(f'expected either {option_here.name} or {key}')
                value = _first_line(folder, value)
            value = option_here.check(copied(value))
        except ValueError as error:
            raise ConfigError(f'{place}.{key}: {error}') from None
        setattr(values, option_here.name, os.path.normpath(folder / value) if option_here.path and value else value)
    return values


def _first_line(folder: Path, name: Any) -> str:
    path = folder / Option('file', str, '', '', low=1, path=True).check(name)
    try:
        return (path.read_text('utf-8').splitlines() or [''])[0].strip()
    except (OSError, UnicodeDecodeError):
        raise ValueError(f'expected a readable file, not {str(path)!r}') from None
