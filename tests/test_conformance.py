"""docs/conformance.md says what is so: its tables are whole and in order, and every test that it names is there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / 'docs' / 'conformance.md'
LEVELS = ('MUST', 'MUST NOT', 'SHOULD', 'SHOULD NOT')
# How a reason begins, where no test shows a requirement met.
REASONS = ('Not yet: ', 'No: ', 'In part: ', 'Nothing to show: ')
LONGEST_ROW = 400


class Row(NamedTuple):
    """One requirement."""

    section: str
    what: str
    level: str
    shown: str

    @property
    def named(self) -> list[str]:
        """Tests and scripts, as they are written in code."""
        return re.findall('`([^`]+)`', self.shown)


@cache
def tables() -> dict[str, list[Row]]:
    """The rows under each heading."""
    found: dict[str, list[Row]] = {}
    for part in re.split('^## ', PAGE.read_text(), flags=re.M)[1:]:
        title, _, text = part.partition('\n')
        lines = [line for line in text.splitlines() if line.startswith('|')]
        assert lines[0] == '| section | requirement | level | shown by |'
        assert set(lines[1]) <= set('|- ')
        rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in lines[2:]]
        assert all(len(row) == 4 for row in rows), [row for row in rows if len(row) != 4]
        found[title] = [Row(*row) for row in rows]
    return found


@cache
def functions(path: Path) -> set[str]:
    """The names of all functions, methods and classes of a file, and of what it assigns outside of them."""
    tree = ast.parse(path.read_text('utf-8'))
    names = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    assigned = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    return names | {target.id for target in assigned if isinstance(target, ast.Name)}


def place(section: str) -> tuple[tuple[int, str], ...]:
    """Where a section stands: appendices come last."""
    return tuple((int(part), '') if part.isdigit() else (1000, part) for part in section.split('.'))


def test_there_are_two_tables() -> None:
    """One for each RFC, and not empty."""
    assert list(tables()) == ['RFC 6120: core', 'RFC 6121: instant messaging and presence']
    assert all(len(rows) > 100 for rows in tables().values())


@pytest.mark.parametrize('title', tables())
def test_no_cell_is_blank(title: str) -> None:
    """And none says what it should not."""
    for row in tables()[title]:
        assert all(row), row
        assert re.fullmatch(r'(\d+|[A-Z])(\.\d+)*', row.section), row
        assert row.level in LEVELS, row
        assert re.fullmatch('(`[^`]+` ?)+', row.shown) or row.shown.startswith(REASONS), row
        assert sum(map(len, row)) <= LONGEST_ROW, row


@pytest.mark.parametrize('title', tables())
def test_sections_are_in_order(title: str) -> None:
    """As in the RFC."""
    sections = [row.section for row in tables()[title]]
    assert sections == sorted(sections, key=place)


@pytest.mark.parametrize('title', tables())
def test_no_requirement_stands_there_twice(title: str) -> None:
    """In one section."""
    said = [(row.section, row.what) for row in tables()[title]]
    assert len(set(said)) == len(said)


@pytest.mark.parametrize('title', tables())
def test_what_is_named_is_there(title: str) -> None:
    """Tests as path::name, scripts as path."""
    for row in tables()[title]:
        for name in row.named:
            path, _, function = name.partition('::')
            assert (ROOT / path).is_file(), row
            if path.endswith('.txt'):
                assert path.startswith('tests/acceptance/') and not function, row
            else:
                assert re.match('(?i)test', function), row
                assert function in functions(ROOT / path), row
