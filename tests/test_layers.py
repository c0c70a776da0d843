"""What import-linter does not see: who does I/O, who installs a reactor, and how long files are."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / 'jabberd_tx'
FILES = sorted(PACKAGE.rglob('*.py'))
# No sockets, no reactor, no files, no threads.
DOES_IO = ('twisted.internet', 'twisted.python.threadpool', 'socket', 'ssl', 'asyncio', 'threading', 'subprocess')
SANS_IO = [path for path in FILES if PACKAGE / 'xmpp' in path.parents or path == PACKAGE / 'link' / 'frames.py']
MOST_LINES = 400


def imported(path: Path) -> set[str]:
    """The names of all modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text('utf-8'))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.update([node.module, *(f'{node.module}.{alias.name}' for alias in node.names)])
    return found


@pytest.mark.parametrize('path', SANS_IO, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_wire_and_the_frames_do_no_io(path):
    bad = {name for name in imported(path) if any(name == io or name.startswith(f'{io}.') for io in DOES_IO)}
    assert not bad


def is_over_redis(path):
    """Whether it imports txredisapi, which installs a reactor: done when a process has one, and is to use Redis."""
    return 'storage/redis/' in path.as_posix() or path.name in (
        'shared_sessions.py', 'shared_copies.py', 'shared.py', 'marks.py', 'scripts.py', 'redis_server.py',
    )  # fmt: skip


def test_importing_the_package_installs_no_reactor():
    """Whoever embeds it chooses the reactor, and passes it in."""
    modules = sorted(
        '.'.join(path.relative_to(PACKAGE.parent).with_suffix('').parts).removesuffix('.__init__')
        for path in FILES
        # Alembic runs its files itself.
        if 'migrations' not in path.parts and path.name != '__main__.py' and not is_over_redis(path)
    )
    code = (
        'import importlib, sys\n'
        f'for name in {modules!r}:\n'
        '    importlib.import_module(name)\n'
        '    assert "twisted.internet.reactor" not in sys.modules, name\n'
    )
    outcome = subprocess.run(
        [sys.executable, '-c', code], cwd=PACKAGE.parent, capture_output=True, text=True, timeout=60
    )
    assert outcome.returncode == 0, outcome.stderr


def test_no_file_is_longer_than_one_can_read():
    long = {
        str(path.relative_to(PACKAGE)): n
        for path in FILES
        if (n := len(path.read_text('utf-8').splitlines())) > MOST_LINES
    }
    assert not long
