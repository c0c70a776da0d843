"""Secrets that the processes of a machine share, made at the first start where the configuration has none."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def made_secret(path: Path) -> Path:
    """The path, with a random secret as the file's first line; nobody else may read it.  OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists():
        return path
    # Written beside it and linked, so that nobody ever reads half of it.
    part = path.with_name(f'{path.name}.{secrets.token_hex(8)}')
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), 'w') as file:
            file.write(secrets.token_urlsafe(32) + '\n')
            file.flush()
            os.fsync(file.fileno())
        os.link(part, path)
    except FileExistsError:
        pass
    finally:
        part.unlink(missing_ok=True)
    return path
