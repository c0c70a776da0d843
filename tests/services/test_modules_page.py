"""docs/modules.md: the package that it makes passes its own tests, and is found as the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.tutorial import LISTING, PAGE, import_path, make_package


@pytest.fixture(scope='module')
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_package(tmp_path_factory.mktemp('notes'))


def run(package: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python with the package on its path."""
    return subprocess.run(
        [sys.executable, *arguments], cwd=package, env={**os.environ, 'PYTHONPATH': import_path(package)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_every_listing_is_a_file_of_the_folder_that_the_page_draws() -> None:
    """And every file is a listing."""
    (tree,) = re.findall(r'^    notes/\n((?:^        .*\n)+)', PAGE.read_text(), re.M)
    assert sorted(tree.split()) == sorted([name for name, _ in LISTING.findall(PAGE.read_text())])
    assert PAGE.read_text().count('\n```') == 2 * len(tree.split())


@pytest.mark.system
def test_its_tests_pass(package: Path) -> None:
    """In a process of its own, with nothing but the import path."""
    done = run(package, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', 'tests')
    assert done.returncode == 0, done.stdout + done.stderr
    assert '6 passed' in done.stdout


@pytest.mark.system
def test_it_keeps_the_projects_own_rules(package: Path) -> None:
    """But for the order of imports: there jabberd_tx is somebody else's."""
    settings = str(PAGE.parents[1] / 'pyproject.toml')
    done = run(package, '-m', 'ruff', 'check', '--config', settings, '--ignore', 'I', 'jabberd_notes', 'tests')
    assert done.returncode == 0, done.stdout


@pytest.mark.system
def test_it_is_found_with_its_reference(package: Path) -> None:
    """By twisted.plugin, without being told."""
    done = run(package, '-c', 'from jabberd_tx.services.ctl import main; main()', 'reference', 'notes')
    assert done.returncode == 0, done.stderr
    for part in ('## notes', 'Keeps what users send', '`urn:example:notes`', '`message_sent`', 'Tables: `notes`'):
        assert part in done.stdout, part


@pytest.mark.system
def test_its_wheel_has_the_code_and_the_plugin_file(tmp_path: Path) -> None:
    """And no twisted/plugins/__init__.py, which would hide everybody else's."""
    package = make_package(tmp_path / 'source')
    (tmp_path / 'built').mkdir()
    done = run(package, '-c', 'from setuptools.build_meta import build_wheel; build_wheel("../built")')
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / 'built').iterdir()
    names = {name for name in zipfile.ZipFile(wheel).namelist() if '.dist-info/' not in name}
    listed = {name for name, _ in LISTING.findall(PAGE.read_text())}
    assert names == {name for name in listed if name.startswith(('jabberd_notes/', 'twisted/'))}
