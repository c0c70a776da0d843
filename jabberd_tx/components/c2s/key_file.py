"""A key of the site in a file of its own, made when it is first asked for."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

KEY_BYTES = 32


def read_key(path: str) -> bytes:
    """The key, at least KEY_BYTES bytes; several processes may ask at once.  OSError; ValueError for a short one."""
    try:
        key = Path(path).read_bytes()
    except FileNotFoundError:
        key = _make(path)
    if len(key) < KEY_BYTES:
        raise ValueError(f'{path}: expected a key of at least {KEY_BYTES} bytes')
    return key


def _make(path: str) -> bytes:
    """Whole at once, so that nobody reads half of it; the first one counts."""
    draft = f'{path}.{secrets.token_hex(8)}'
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), 'wb') as file:
        file.write(secrets.token_bytes(KEY_BYTES))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(draft)
    return Path(path).read_bytes()
