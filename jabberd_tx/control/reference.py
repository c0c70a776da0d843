"""The reference of all options, made from their declarations: a commented TOML file, and a page for the docs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jabberd_tx.base.options import Option, Section

WIDTH = 118

_HEAD = """
The configuration of all services of a site. Every option stands here with its default, behind a '#'. Whatever is
wrong in this file stops the start with one line that says where and what was expected; `jabberd-ctl check` looks
at more than that.

A relative path is below the folder `data` of [server], and `data` itself below the folder of this file. In a path,
${NAME} and ${NAME:-default} stand for a variable of the environment. A secret may stand in a file of its own:
NAME_file = 'path' in place of NAME = 'value'. On the command line, --set SECTION.OPTION=VALUE overrides this file.

"reload" marks what SIGHUP and `jabberd-ctl reload` apply to a running server; all else wants a restart.
"""

_PAGE = """# Configuration

<!-- Made by `make docs` from the options' declarations. -->

One TOML file for all services of a site; `etc/jabberd.toml` is an example with every option. Whatever is wrong in it
stops the start with one line: file, key, what was expected.

- A relative path is below the folder `data` of `[server]`; `data` itself is below the folder of the file.
- In a path, `${NAME}` and `${NAME:-default}` stand for a variable of the environment.
- A secret may stand in a file of its own, as its first line: `NAME_file = 'path'` in place of `NAME = 'value'`.
- `--set SECTION.OPTION=VALUE` on the command line overrides the file, `--set certificate.0.chain=VALUE` in the first
  table of an array.
- *reload*: SIGHUP and `jabberd-ctl reload` apply a new value to a running server. All else wants a restart; a reload
  names what does.
"""

# What a file sets itself, by section: one table, or several of them.
Settings = Mapping[str, Mapping[str, Any] | Sequence[Mapping[str, Any]]]


def toml_file(sections: Iterable[Section], settings: Settings) -> str:
    """A configuration file with every option: those in `settings` set, all others as comments with their default."""
    parts = ['\n'.join(_comment(paragraph) for paragraph in _paragraphs(_HEAD))]
    for section in sections:
        here = settings.get(section.name, {})
        tables = [here] if isinstance(here, Mapping) else list(here)
        for number, table in enumerate(tables):
            parts.append(_toml_table(section, table, told=number > 0))
    return '\n\n'.join(parts) + '\n'


def _toml_table(section: Section, table: Mapping[str, Any], told: bool) -> str:
    """One table.  `told`: an earlier one has the comments."""
    title = f'[[{section.name}]]' if section.many else f'[{section.name}]'
    # An array without a table is empty: the title itself is a comment.
    lines = [] if told else [_comment(section.help)]
    lines.append(title if table or not section.many else f'# {title}')
    for option in section.options:
        if not told:
            lines += ['', _comment(f'{_sentence(option.help)} {_facts(option)}')]
        if option.name in table:
            lines.append(f'{option.name} = {toml(table[option.name])}')
        elif not told:
            lines.append(f'# {option.name} = {toml(option.default)}')
    return '\n'.join(lines)


def page(sections: Iterable[Section]) -> str:
    """The reference page, in Markdown: a table for each section."""
    parts = [_PAGE]
    for section in sections:
        title = f'[[{section.name}]]' if section.many else f'[{section.name}]'
        parts.append(f'## `{title}`\n\n{_sentence(section.help)}' + (' May come again.' if section.many else ''))
        parts.append(option_table(section))
    return '\n\n'.join(part.strip() for part in parts) + '\n'


def option_table(section: Section) -> str:
    """Its options, in Markdown."""
    rows = [_row(option) for option in section.options]
    return '\n'.join(['| option | default | value | what it does |', '| --- | --- | --- | --- |', *rows])


def _row(option: Option) -> str:
    marks = ''.join(f' *{mark}*' for mark in ('reload', 'secret', 'path') if getattr(option, mark))
    cells = (f'`{option.name}`', f'`{toml(option.default)}`', option.expected(), _sentence(option.help) + marks)
    return '| ' + ' | '.join(cell.replace('|', '\\|') for cell in cells) + ' |'


def _facts(option: Option) -> str:
    """What a value may be, in brackets."""
    return f'({option.expected()}{"; reload" if option.reload else ""}{"; secret" if option.secret else ""})'


def toml(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f'[{", ".join(map(toml, value))}]'
    text = str(value)
    if "'" not in text and text.isprintable():
        return f"'{text}'"
    escaped = ''.join(c if c.isprintable() and c not in '"\\' else f'\\U{ord(c):08x}' for c in text)
    return f'"{escaped}"'


def _sentence(text: str) -> str:
    return text if text.endswith(('.', '…', ')')) else f'{text}.'


def _paragraphs(text: str) -> Iterable[str]:
    """Each paragraph in one line, with '' between two."""
    for number, paragraph in enumerate(text.strip().split('\n\n')):
        yield from ([''] if number else [])
        yield ' '.join(paragraph.split())


def _comment(text: str) -> str:
    lines = textwrap.wrap(text, WIDTH - 2, break_long_words=False, break_on_hyphens=False) or ['']
    return '\n'.join(f'# {line}'.rstrip() for line in lines)
