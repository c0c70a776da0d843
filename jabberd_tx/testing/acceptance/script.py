"""Reads acceptance scripts: lines in, steps out.  No I/O but for `read`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, fromstring

_NAME = r'[a-z][a-z0-9]*'
_WHO = rf'(?P<who>{_NAME}(?:/[A-Za-z0-9-]+)?)'

# What a line may say, and the verb of its step.  In the order of docs/acceptance.md.
LINES = {
    'nobody': re.compile(rf'there is no account of (?P<who>{_NAME})'),
    'contacts': re.compile(rf'(?P<who>{_NAME}) and (?P<detail>{_NAME}) are contacts'),
    'connect': re.compile(rf'{_WHO} connects'),
    'connect elsewhere': re.compile(rf'{_WHO} connects elsewhere'),
    'login': re.compile(rf'{_WHO} logs in'),
    'online': re.compile(rf'{_WHO} comes online'),
    'send': re.compile(rf'{_WHO} sends'),
    'receive': re.compile(rf'{_WHO} receives'),
    'receive in any order': re.compile(rf'{_WHO} receives in any order'),
    'receive nothing': re.compile(rf'{_WHO} receives nothing'),
    'ack nothing': re.compile(rf'{_WHO} acknowledges nothing'),
    'leave': re.compile(rf'{_WHO} leaves'),
    'drop': re.compile(rf'{_WHO} loses the connection'),
    'ended': re.compile(rf'the stream of {_WHO} ends(?: with (?P<detail>[a-z-]+))?'),
}
# Those that XML follows.
WITH_XML = ('send', 'receive', 'receive in any order')

USER = re.compile(rf'\$({_NAME})')
CAPTURE = re.compile(r'\{([a-z_]+)\}')


class ScriptError(ValueError):
    """A script that can't be played; str() names file and line."""


@dataclass(frozen=True)
class Step:
    """One line, with the XML that follows it.

    line     its number in the file
    verb     a key of LINES
    who      'juliet' or 'juliet/balcony'
    detail   the other contact, or a stream error's condition
    xml      each element as written
    """

    line: int
    verb: str
    who: str
    detail: str = ''
    xml: tuple[str, ...] = ()


@dataclass(frozen=True)
class Script:
    """title: the first comment; users: who has an account, by the names that stand in the script."""

    name: str
    title: str
    steps: tuple[Step, ...]
    users: tuple[str, ...]


def read(path: Path) -> Script:
    """The script of a file; ScriptError, OSError."""
    try:
        text = path.read_text('utf-8')
    except UnicodeDecodeError as error:
        raise ScriptError(f'{path}: not UTF-8: {error.reason}') from None
    return parse(text, path.stem, str(path))


def parse(text: str, name: str = 'script', file: str = 'script') -> Script:
    """ScriptError: file, line, and what was expected."""
    lines = [line.rstrip() for line in text.splitlines()]
    title = next((line.lstrip('# ') for line in lines if line.startswith('#')), '')
    if not title:
        raise ScriptError(f'{file}: expected a comment that says what it shows')
    steps = tuple(_steps(lines, file))
    _check_logins(steps, file)
    return Script(name, title, steps, _users(steps))


def _steps(lines: Sequence[str], file: str) -> Iterator[Step]:
    at = 0
    while at < len(lines):
        line, number = lines[at], at + 1
        at += 1
        if not line or line.startswith('#'):
            continue
        if line[0].isspace():
            raise ScriptError(f'{file}:{number}: XML with no line before it that sends or receives')
        verb, match = _line(line, f'{file}:{number}')
        xml: tuple[str, ...] = ()
        if verb in WITH_XML:
            first = at
            while at < len(lines) and (not lines[at] or lines[at][0].isspace()):
                at += 1
            xml = tuple(_elements(lines[first:at], first + 1, file))
            if not xml:
                raise ScriptError(f'{file}:{number}: expected indented XML after {line!r}')
        yield Step(number, verb, match['who'], match.groupdict().get('detail') or '', xml)


def _line(line: str, where: str) -> tuple[str, re.Match[str]]:
    for verb, pattern in LINES.items():
        match = pattern.fullmatch(line.removesuffix(':'))
        if match is not None:
            return verb, match
    raise ScriptError(f'{where}: not understood: {line!r}')


def _elements(lines: Sequence[str], first: int, file: str) -> Iterator[str]:
    """Each element of a block; one ends where it is well-formed."""
    held: list[str] = []
    begun = first
    for number, line in enumerate(lines, first):
        if not held:
            if not line:
                continue
            begun = number
        held.append(line)
        text = '\n'.join(held).strip()
        if text and _is_whole(text):
            yield text
            held = []
    if any(held):
        why = _why('\n'.join(held).strip())
        raise ScriptError(f'{file}:{begun}: not well-formed XML: {why}')


def element(text: str) -> Element:
    """XML as it stands in a script, in the namespace of clients' streams; ParseError."""
    (found,) = fromstring(f"<x xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>{text}</x>")
    return found


def _is_whole(text: str) -> bool:
    return not _why(text)


def _why(text: str) -> str:
    try:
        element(text)
    except ParseError as error:
        return str(error).partition(':')[0]
    except ValueError:
        return 'one element a time'
    return ''


def _check_logins(steps: Sequence[Step], file: str) -> None:
    """Who does something is there."""
    there: set[str] = set()
    absent: set[str] = set()
    known: set[str] = set()
    for step in steps:
        where = f'{file}:{step.line}'
        if step.verb == 'nobody':
            absent.add(step.who)
        elif step.verb in ('login', 'online', 'connect', 'connect elsewhere'):
            if step.who in there:
                raise ScriptError(f'{where}: {step.who} is connected already')
            there.add(step.who)
        elif step.verb != 'contacts' and step.who not in there:
            raise ScriptError(f'{where}: {step.who} is not connected')
        if step.verb == 'connect elsewhere' and step.who not in known:
            raise ScriptError(f'{where}: {step.who} has not been connected before')
        known.add(step.who)
        if step.verb in ('leave', 'drop', 'ended'):
            there.discard(step.who)
        if step.verb != 'nobody' and {step.who.partition('/')[0], step.detail} & absent:
            raise ScriptError(f'{where}: somebody without an account')


def _users(steps: Sequence[Step]) -> tuple[str, ...]:
    absent = {step.who for step in steps if step.verb == 'nobody'}
    found: dict[str, None] = {}
    for step in steps:
        found[step.who.partition('/')[0]] = None
        if step.verb == 'contacts':
            found[step.detail] = None
        for xml in step.xml:
            found.update(dict.fromkeys(USER.findall(xml)))
    found.pop('domain', None)
    return tuple([name for name in found if name not in absent])
