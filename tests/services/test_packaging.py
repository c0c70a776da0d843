"""What people install: the wheel and the sdist hold all of the code, and twistd finds the plugins."""

from __future__ import annotations

import ast
import configparser
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLUGINS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / 'twisted' / 'plugins').glob('*.py'))
COMMANDS = ('jabberd', 'jabberd-router', 'jabberd-c2s', 'jabberd-sm', 'jabberd-component')
CODE = sorted(
    str(path.relative_to(ROOT)) for path in (ROOT / 'jabberd_tx').rglob('*') if path.is_file() and path.suffix != '.pyc'
)


def build(kind: str, source: Path, target: Path) -> Path:
    """Build a 'wheel' or 'sdist' of a source folder, with the setuptools that is installed; gives its path."""
    code = f'import sys; from setuptools.build_meta import build_{kind}; build_{kind}(sys.argv[1])'
    target.mkdir()
    outcome = subprocess.run(
        [sys.executable, '-c', code, target], cwd=source, capture_output=True, text=True, timeout=120
    )
    assert outcome.returncode == 0, outcome.stderr
    [built] = target.iterdir()
    return built


@pytest.fixture(scope='module')
def sdist(tmp_path_factory):
    """The sdist, built from a copy: setuptools leaves things behind where it builds."""
    folder = tmp_path_factory.mktemp('sdist')
    source = folder / 'source'
    source.mkdir()
    for name in ('jabberd_tx', 'twisted', 'docs', 'etc'):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns('__pycache__'))
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, source)
    return build('sdist', source, folder / 'built')


@pytest.fixture(scope='module')
def wheel(sdist, tmp_path_factory):
    """The wheel, built from the sdist: what is not in the one can't be in the other."""
    folder = tmp_path_factory.mktemp('wheel')
    with tarfile.open(sdist) as archive:
        archive.extractall(folder)
    [source] = folder.iterdir()
    return build('wheel', source, folder / 'built')


@pytest.mark.system
def test_the_sdist_holds_the_code_the_plugins_and_what_a_reader_wants(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition('/')[2] for name in archive.getnames()}
    wanted = {*CODE, *PLUGINS, 'LICENSE', 'etc/jabberd.toml', 'setup.cfg', 'pyproject.toml', 'requirements.lock'}
    assert wanted <= names
    assert 'twisted/plugins/__init__.py' not in names and 'twisted/__init__.py' not in names
    assert not any(name.endswith(('.pyc', 'dropin.cache')) for name in names)


@pytest.mark.system
def test_the_wheel_holds_the_code_the_plugins_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {name for name in names if '.dist-info/' not in name} == {*CODE, *PLUGINS}
    assert {Path(name).name for name in names if '.dist-info/' in name} >= {'LICENSE', 'METADATA', 'entry_points.txt'}


@pytest.mark.system
def test_an_installed_wheel_gives_twistd_its_commands(wheel, tmp_path):
    """Installed into a venv of its own, which sees the dependencies of this one."""
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', tmp_path / 'venv'], check=True, timeout=120)
    [packages] = (tmp_path / 'venv').glob('lib/python3*/site-packages')
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    ours = [path for path in sys.path if path.endswith('site-packages')]
    (packages / 'dependencies.pth').write_text('\n'.join(ours))
    code = 'from twisted.scripts.twistd import run; run()'
    outcome = subprocess.run(
        [tmp_path / 'venv/bin/python', '-c', code, '--help'],
        cwd=tmp_path,
        env={key: value for key, value in os.environ.items() if key != 'PYTHONPATH'},
        capture_output=True,
        text=True,
        timeout=60,
    )
    listed = {line.split()[0] for line in outcome.stdout.splitlines() if line.startswith('    jabberd')}
    assert outcome.returncode == 0 and listed == set(COMMANDS), outcome.stderr


def test_everything_that_is_imported_is_declared():
    """What works here only because a test tool brought it along would be missing where the package is installed."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / 'setup.cfg')

    def names_in(section: str, key: str) -> set[str]:
        return {re.split(r'[\[<>=]', word)[0].lower().replace('_', '-') for word in parser[section][key].split()}

    needed = names_in('options', 'install_requires')
    # The testing helpers are for those who test.
    for_tests = needed | names_in('options.extras_require', 'test')
    owners = importlib.metadata.packages_distributions()
    undeclared = set()
    for path in (ROOT / 'jabberd_tx').rglob('*.py'):
        declared = for_tests if ROOT / 'jabberd_tx' / 'testing' in path.parents else needed
        for node in ast.walk(ast.parse(path.read_text('utf-8'))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ''] if isinstance(node, ast.ImportFrom) else []
            for name in {name.partition('.')[0] for name in names} - {'jabberd_tx'} - sys.stdlib_module_names:
                owned_by = {owner.lower().replace('_', '-') for owner in owners.get(name, [name])}
                if not owned_by & declared:
                    undeclared.add((name, str(path.relative_to(ROOT))))
    assert not undeclared
