"""docs/components.md: what it makes passes its own tests, and is found as the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from jabberd_tx.base.options import load
from jabberd_tx.services.sections import all_sections
from tests.component_tutorial import LISTING, PAGE, configurations, import_path, make_packages


@pytest.fixture(scope='module')
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_packages(tmp_path_factory.mktemp('components'))


def run(packages: Path, *arguments: str, cwd: str = '.') -> subprocess.CompletedProcess[str]:
    """Python with both packages on its path."""
    return subprocess.run(
        [sys.executable, *arguments], cwd=packages / cwd, env={**os.environ, 'PYTHONPATH': import_path(packages)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_every_listing_is_a_file_of_the_folders_that_the_page_draws() -> None:
    """And every file is a listing; the others are configurations."""
    text = PAGE.read_text()
    drawn, folder = [], ''
    for line in re.findall(r'^    shout/\n(?:^    .*\n)+', text, re.M)[0].splitlines():
        name = line.strip()
        if line.startswith('        '):
            drawn.append(folder + name)
        else:
            folder = name
    assert sorted(drawn) == sorted([name for name, _ in LISTING.findall(text)])
    assert text.count('\n```') == 2 * (len(drawn) + len(configurations()))


def test_its_configurations_load(packages: Path, tmp_path: Path) -> None:
    """Where `shout` is installed."""
    spec = spec_from_file_location('shout', packages / 'shout/twisted/plugins/shout.py')
    assert spec is not None and spec.loader is not None
    shout = module_from_spec(spec)
    spec.loader.exec_module(shout)
    for text in configurations():
        (tmp_path / 'jabberd.toml').write_text(text)
        config = load(tmp_path / 'jabberd.toml', all_sections(more_plugins=[shout.Shout]))
        assert config.section(shout.Shout.section()).enabled


def test_twenty_lines_are_twenty_lines() -> None:
    listing = dict(LISTING.findall(PAGE.read_text()))['shout/twisted/plugins/shout.py']
    assert len([line for line in listing.splitlines() if line]) <= 20


@pytest.mark.system
def test_its_tests_pass(packages: Path) -> None:
    """In a process of its own, with nothing but the import path."""
    done = run(packages, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', 'tests', cwd='dice')
    assert done.returncode == 0, done.stdout + done.stderr
    assert '9 passed' in done.stdout


@pytest.mark.system
def test_it_keeps_the_projects_own_rules(packages: Path) -> None:
    """But for the order of imports: there jabberd_tx is somebody else's."""
    settings = str(PAGE.parents[1] / 'pyproject.toml')
    done = run(packages, '-m', 'ruff', 'check', '--config', settings, '--ignore', 'I', 'shout', 'dice/jabberd_dice')
    assert done.returncode == 0, done.stdout


@pytest.mark.system
def test_it_is_found_with_its_reference(packages: Path) -> None:
    """By twisted.plugin, without being told."""
    done = run(packages, '-c', 'from jabberd_tx.services.ctl import main; main()', 'reference', 'dice', 'shout')
    assert done.returncode == 0, done.stderr
    for part in ('## dice', 'Rolls dice.', 'policy `from`', 'Tables: `dice`', '`most`', '## shout', 'Off by default'):
        assert part in done.stdout, part


@pytest.mark.system
def test_its_tables_are_made_with_the_servers(packages: Path) -> None:
    """By `jabberd-ctl db upgrade`, while it is on."""
    ctl = ('-c', 'from jabberd_tx.services.ctl import main; main()', '-s', 'server.data=data')
    done = run(packages, *ctl, '-s', 'component.dice.enabled=true', 'db', 'upgrade', '--dry-run')
    assert 'would be done: dice 1, Best rolls\n' in done.stdout, done.stderr
    assert 'dice' not in run(packages, *ctl, 'db', 'upgrade', '--dry-run').stdout


@pytest.mark.system
def test_its_wheel_has_the_code_and_the_plugin_file(tmp_path: Path) -> None:
    """And no twisted/plugins/__init__.py, which would hide everybody else's."""
    packages = make_packages(tmp_path / 'source')
    (tmp_path / 'built').mkdir()
    done = run(packages, '-c', 'from setuptools.build_meta import build_wheel; build_wheel("../../built")', cwd='dice')
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / 'built').iterdir()
    names = {name for name in zipfile.ZipFile(wheel).namelist() if '.dist-info/' not in name}
    listed = {name.removeprefix('dice/') for name, _ in LISTING.findall(PAGE.read_text()) if name.startswith('dice/')}
    assert names == {name for name in listed if name.startswith(('jabberd_dice/', 'twisted/'))}
