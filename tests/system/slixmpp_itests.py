"""slixmpp's own integration tests, as they stand in its source distribution: fetched, and run against a port.

    python slixmpp_itests.py FOLDER PORT CERTIFICATE test_ping …     # in a process of its own; accounts by environment

They look for the server by its domain in DNS and trust the system's authorities: both is set here, and nothing else.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import unittest
from importlib import import_module, metadata
from pathlib import Path

LOCK = Path(__file__).parents[2] / 'requirements-test.lock'


def fetch() -> Path:
    """The unpacked source distribution of the slixmpp that is locked, kept beside what is installed."""
    version = metadata.version('slixmpp')
    match = re.search(r'^slixmpp==(\S+) (?:\\\n +--hash=sha256:\w+ ?)+', LOCK.read_text(), re.M)
    assert match is not None and match[1] == version, f'slixmpp {version} is not what is locked'
    folder = Path(sys.prefix) / 'share' / f'slixmpp-itests-{version}'
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=_made(folder.parent)) as work:
            _download(version, re.findall(r'sha256:(\w+)', match[0]), Path(work))
            os.rename(Path(work) / f'slixmpp-{version}', folder)
    return folder


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _download(version: str, hashes: list[str], work: Path) -> None:
    command = ['download', '--quiet', '--no-deps', '--no-binary', 'slixmpp', '--dest', str(work), f'slixmpp=={version}']
    subprocess.run([sys.executable, '-m', 'pip', *command], check=True, timeout=300)
    (archive,) = work.glob('*.tar.gz')
    assert hashlib.sha256(archive.read_bytes()).hexdigest() in hashes, 'not the file that is locked'
    with tarfile.open(archive) as tar:
        tar.extractall(work)


def run(folder: str, to: str, certificate: str, *names: str) -> int:
    """Run the tests of these files against port `to`; 0 when all have passed."""
    from slixmpp import ClientXMPP

    connect, make = ClientXMPP.connect, ClientXMPP.__init__

    def connect_there(self: ClientXMPP, host: str | None = None, port: int | None = None) -> object:
        return connect(self, host or '127.0.0.1', port or int(to))

    def make_trusting(self: ClientXMPP, *arguments: object, **keywords: object) -> None:
        make(self, *arguments, **keywords)
        self.ca_certs = Path(certificate)

    ClientXMPP.connect, ClientXMPP.__init__ = connect_there, make_trusting
    # Its own tests are packages of the folder; slixmpp itself is the one that is installed.
    sys.path.append(folder)
    suites = [import_module(f'itests.{name}').suite for name in names]
    done = unittest.TextTestRunner(verbosity=2).run(unittest.TestSuite(suites))
    return 0 if done.wasSuccessful() and done.testsRun and not done.skipped else 1


if __name__ == '__main__':
    raise SystemExit(run(*sys.argv[1:]))
