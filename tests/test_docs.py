"""The pages say what is so: their configurations load, their commands and files exist, their links lead somewhere."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins

from jabberd_tx.base.options import load
from jabberd_tx.control.watchdog import options as watchdog
from jabberd_tx.load import main as load_main
from jabberd_tx.services import ctl
from jabberd_tx.services.command_line import Options
from jabberd_tx.services.layout import KINDS
from jabberd_tx.services.sections import all_sections

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / 'README.md', *(ROOT / 'docs').rglob('*.md')])
BLOCK = re.compile(r'^( *)```(\w*)\n(.*?)^\1```$', re.M | re.S)
INDENTED = re.compile(r'(?:^    .*\n(?:^ *\n(?=    ))?)+', re.M)
IN_LINE = re.compile(r'(?<!`)`([^`\n]+)`(?!`)')
LINK = re.compile(r'\[[^\]]*\]\(([^)\s]+)\)')
FILE = re.compile(r'(?:jabberd_tx|tests|examples|docs|etc|twisted|benchmarks|scripts)/[\w./-]*\w')
# What is there only after a command of the page has run, or in the package that a page makes.
MADE = ('docs/dev/progress.md', 'twisted/plugins/jabberd_notes_plugin.py', 'tests/test_notes.py')


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    """The fenced listings of that language."""
    return [text for _, found, text in BLOCK.findall(page.read_text()) if found == language]


def commands() -> Iterator[tuple[str, str]]:
    """(page, line) of what looks like a shell command: indented lines, and code within lines."""
    for page in PAGES:
        text = BLOCK.sub('', page.read_text())
        lines = [line for part in INDENTED.findall(text) for line in part.splitlines()]
        for line in [*lines, *IN_LINE.findall(text)]:
            line = line.strip().removeprefix('.venv/bin/')
            if re.match(r'(make|jabberd-ctl|jabberd-load|twistd|python) [^=]', line):
                yield name_of(page), line.partition(' #')[0].strip()


def test_there_is_something_to_check() -> None:
    """The patterns above find what the pages have."""
    found = [line for _, line in commands()]
    for start in ('make run', 'make test', 'jabberd-ctl user add', 'twistd -n --pidfile= jabberd-router'):
        assert any(line.startswith(start) for line in found), (start, found)
    assert blocks(ROOT / 'docs' / 'getting-started.md', 'toml') and blocks(ROOT / 'docs' / 'embedding.md', 'python')


@pytest.mark.parametrize('page', PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    """Files that are there, and headings in them."""
    for target in LINK.findall(BLOCK.sub('', page.read_text())):
        if re.match(r'[a-z]+:', target):
            continue
        file, _, heading = target.partition('#')
        found = (page.parent / file).resolve() if file else page
        assert found.exists(), target
        if heading:
            titles = re.findall(r'^#+ (.*)$', found.read_text(), re.M)
            assert heading in [re.sub(r'[^\w -]', '', title.lower()).replace(' ', '-') for title in titles], target


@pytest.mark.parametrize('page', PAGES, ids=name_of)
def test_files_that_are_named_are_there(page: Path) -> None:
    """In code within lines."""
    for code in IN_LINE.findall(BLOCK.sub('', page.read_text())):
        for path in FILE.findall(code) if FILE.match(code) else ():
            assert (ROOT / path).exists() or path in MADE, path


@pytest.mark.parametrize('page', PAGES, ids=name_of)
def test_configurations_load(page: Path, tmp_path: Path) -> None:
    """Each by itself: right sections, right keys, right values."""
    for text in blocks(page, 'toml'):
        if '[component.' in text:
            continue  # of a component that the page makes: tests/services/test_components_page.py
        (tmp_path / 'jabberd.toml').write_text(text)
        (tmp_path / 'jabberd.toml').chmod(0o600)
        load(tmp_path / 'jabberd.toml', all_sections())


def test_make_targets_are_there() -> None:
    """Of each `make …`."""
    targets = set(re.findall(r'^([a-z-]+):', (ROOT / 'Makefile').read_text(), re.M))
    for page, line in commands():
        words = line.split()
        if words[0] == 'make':
            assert words[1] in targets, (page, line)


def test_ctl_commands_are_there() -> None:
    """With the options and arguments that they take."""
    for page, line in commands():
        words = line.split()
        if words[0] not in ('jabberd-ctl', 'jabberd-load'):
            continue
        command: click.Command = ctl.main if words[0] == 'jabberd-ctl' else load_main.main
        context = click.Context(command)
        words = words[1:]
        while isinstance(command, click.Group) and words:
            found = command.get_command(context, words[0])
            assert found is not None, (page, line)
            command, words = found, words[1:]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith('-')} <= known, (page, line)


def test_twistd_commands_are_there() -> None:
    """A service that twistd lists, and options that it has."""
    makers = {maker.tapname for maker in getPlugins(IServiceMaker)}
    options = {f'--{name}' for name in Options().longOpt} | {f'--{name.rstrip("=")}' for name in Options().longOpt}
    for page, line in commands():
        words = line.split()
        if words[0] != 'twistd':
            continue
        services = [word for word in words if word.startswith('jabberd')]
        assert services and services[0] in makers, (page, line)
        after = words[words.index(services[0]) + 1 :]
        assert {word for word in after if word.startswith('--')} <= options, (page, line)
        assert {word for word in after if re.fullmatch('-[a-z]', word)} <= {'-c', '-s'}, (page, line)


def test_options_on_command_lines_are_there(tmp_path: Path) -> None:
    """Of each --set."""
    for page, line in commands():
        overrides = re.findall(r'--set (\S+=\S+)', line)
        assert overrides or '--set ' not in line, (page, line)
        load(None, all_sections(), overrides)


def test_listings_of_the_embedding_page_are_the_examples_text() -> None:
    """Whole, as a test runs them; the plugin's one line is run by tests/services/test_embedded.py."""
    page = ROOT / 'docs' / 'embedding.md'
    examples = [path.read_text() for path in (ROOT / 'examples').iterdir() if path.is_file()]
    plugin = (ROOT / 'tests' / 'services' / 'test_embedded.py').read_text()
    for listing in [*blocks(page, 'python'), *blocks(page, 'toml')]:
        one_line = repr(listing) in plugin
        assert one_line or any(listing in text for text in examples), listing


def test_the_unit_of_the_operating_page_starts_what_there_is(tmp_path: Path) -> None:
    """Sections and settings as systemd.unit(5) has them; the command line is one that twistd takes."""
    [unit] = blocks(ROOT / 'docs' / 'operating.md', 'ini')
    parser = configparser.RawConfigParser()
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(unit)
    assert parser.sections() == ['Unit', 'Service', 'Install']
    words = parser['Service']['ExecStart'].split()
    assert words[0].endswith('/bin/twistd') and words[1:4] == ['--nodaemon', '--pidfile=', 'jabberd']
    assert set(words[4::2]) <= {f'--{name.rstrip("=")}' for name in Options().longOpt}
    assert float(parser['Service']['TimeoutStopSec']) >= len(KINDS) * watchdog.OPTIONS.defaults().stop_timeout
    analyze = shutil.which('systemd-analyze')
    if analyze is not None:
        (tmp_path / 'jabberd.service').write_text(unit.replace(words[0], sys.executable))
        found = subprocess.run([analyze, 'verify', tmp_path / 'jabberd.service'], capture_output=True, text=True)
        assert (found.returncode, 'jabberd.service' in found.stderr) == (0, False), found.stderr
