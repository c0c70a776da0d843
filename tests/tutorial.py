"""The package that docs/modules.md makes, from the listings of that page."""

from __future__ import annotations

import os
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / 'docs' / 'modules.md'
LISTING = re.compile(r'^`([\w./]+)`:\n\n```\w+\n(.*?)^```$', re.M | re.S)


def make_package(folder: Path) -> Path:
    """Write each listing into the file that is named above it; the folder."""
    for name, text in LISTING.findall(PAGE.read_text()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def import_path(folder: Path) -> str:
    """PYTHONPATH for a process that has it installed."""
    return os.pathsep.join([str(folder), str(ROOT)])
