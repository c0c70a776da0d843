"""The TOML file as a tree of tables: read, with what the command line says on top, and nothing in it undeclared."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from jabberd_tx.base.option import ConfigError, Option, Section

# How tomllib's messages end.
_PLACE = re.compile(r'(?P<text>.*) \(at (?:line (?P<line>\d+), column \d+|end of document)\)$', re.S)


def parse(file: Path, label: str) -> dict[str, Any]:
    """The file's tables.  ConfigError when it cannot be read or is not TOML; `label`: what to call it."""
    try:
        return tomllib.loads(file.read_text('utf-8'))
    except OSError as error:
        raise ConfigError(f'{label}: cannot be read: {error.strerror}') from None
    except UnicodeDecodeError as error:
        raise ConfigError(f'{label}: expected UTF-8 (the byte at {error.start} is not)') from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f'{label}{_syntax(str(error))}') from None


def _syntax(message: str) -> str:
    """tomllib's message, with the line where editors look for it."""
    match = _PLACE.match(message)
    if match is None or match['line'] is None:
        return f': not TOML: {message}'
    return f':{match["line"]}: not TOML: {match["text"]}'


def override(tree: dict[str, Any], text: str, sections: Sequence[Section]) -> None:
    """Put 'c2s.port=5223', from the command line, into the tree that the file gave."""
    key, equals, value_text = text.partition('=')
    names = key.strip().split('.')
    if not equals or len(names) < 2 or not all(names):
        raise ConfigError(f'--set {text}: expected SECTION.OPTION=VALUE')
    option = _declared(names, sections)
    try:
        value = tomllib.loads(f'value = {value_text}')['value']
    except tomllib.TOMLDecodeError:
        value = None
    if option is not None and option.kind is str and not isinstance(value, str):
        value = value_text
    if value is None:
        wanted = 'a TOML value' if option is None else option.expected()
        raise ConfigError(f'--set {text}: expected {wanted}')
    table: Any = tree
    for name in names[:-1]:
        if isinstance(table, list):
            table = _item(table, name, text)
        elif isinstance(table, dict):
            many = table is tree and any(section.many and section.name == name for section in sections)
            table = table.setdefault(name, [] if many else {})
    if not isinstance(table, dict):
        raise ConfigError(f'--set {text}: expected SECTION.OPTION=VALUE, or SECTION.NUMBER.OPTION=VALUE')
    table[names[-1]] = value


def _item(tables: list[Any], number: str, text: str) -> Any:
    if not number.isdigit() or int(number) > len(tables):
        raise ConfigError(f'--set {text}: expected a number from 0 to {len(tables)}, not {number!r}')
    if int(number) == len(tables):
        tables.append({})
    return tables[int(number)]


def _declared(names: Sequence[str], sections: Sequence[Section]) -> Option | None:
    """The option that a dotted key means, if there is one."""
    prefix = '.'.join(name for name in names[:-1] if not name.isdigit())
    for section in sections:
        if section.name == prefix:
            for option in section.options:
                if names[-1] in (option.name, f'{option.name}_file' if option.secret else option.name):
                    return option
    return None


def refuse_unknown(tree: dict[str, Any], sections: Sequence[Section], label: str, prefix: str = '') -> None:
    """ConfigError for a table that no section declares."""
    known = {section.name for section in sections}
    parents = {name.rpartition('.')[0] for name in known} - {''}
    for key, value in tree.items():
        name = prefix + key
        if name in known:
            continue
        if name in parents:
            if not isinstance(value, dict):
                raise ConfigError(f'{label}: {name}: expected tables [{name}.NAME]')
            refuse_unknown(value, sections, label, f'{name}.')
            continue
        what = f'[{name}]' if isinstance(value, dict | list) else name
        raise ConfigError(f'{label}: {what}: no such section{meant(name, known)}')


def table_of(tree: dict[str, Any], section: Section, label: str) -> Any:
    """The table, or list of tables, that the file has for a section."""
    found: Any = tree
    *parents, last = section.name.split('.')
    for parent in parents:
        found = found.get(parent, {})
    found = found.get(last, [] if section.many else {})
    if section.many:
        if not isinstance(found, list) or not all(isinstance(table, dict) for table in found):
            raise ConfigError(f'{label}: {section.name}: expected one or more tables [[{section.name}]]')
    elif not isinstance(found, dict):
        raise ConfigError(f'{label}: {section.name}: expected one table [{section.name}]')
    return found


def meant(name: str, known: Iterable[str]) -> str:
    """A suggestion for a near miss."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f'; did you mean {close[0]}?' if close else f'; expected one of: {", ".join(sorted(known))}'
