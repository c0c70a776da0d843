"""The two packages that docs/components.md makes, and the configurations that it shows, from the listings of that
page."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tests.tutorial import LISTING, ROOT

PAGE = ROOT / 'docs' / 'components.md'
_TOML = re.compile(r'^```toml\n(.*?)^```$', re.M | re.S)


def make_packages(folder: Path) -> Path:
    """Write each listing into the file that is named above it; the folder, with `shout` and `dice` in it."""
    for name, text in LISTING.findall(PAGE.read_text()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def import_path(folder: Path) -> str:
    """PYTHONPATH for a process that has both installed."""
    return os.pathsep.join([str(folder / 'shout'), str(folder / 'dice'), str(ROOT)])


def configurations() -> tuple[str, str]:
    """The TOML of the page: of a site, and of a component of another server."""
    site, remote = _TOML.findall(PAGE.read_text())
    return site, remote
