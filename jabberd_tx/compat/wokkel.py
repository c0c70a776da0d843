"""Lets wokkel 18 be imported under Twisted 26.10: import this module before wokkel.

    import jabberd_tx.compat.wokkel  # first
    from wokkel import muc

wokkel's last release asks for two things that Twisted has since dropped: `twisted.python.constants`, which lives on
as the package constantly, and the flag `twisted.python.compat._PY3`.  Nothing in jabberd-tx itself needs wokkel; it
is there for those who write plugins with it.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from typing import Any

import constantly
import twisted.python
from twisted.python import compat


def _install() -> None:
    if not hasattr(compat, '_PY3'):
        compat._PY3 = True  # type: ignore[attr-defined]
    if importlib.util.find_spec('twisted.python.constants') is None:
        # A module of its own rather than constantly itself, so that its name tells the truth.
        constants: Any = types.ModuleType('twisted.python.constants', constantly.__doc__)
        for name in ('NamedConstant', 'ValueConstant', 'FlagConstant', 'Names', 'Values', 'Flags'):
            setattr(constants, name, getattr(constantly, name))
        sys.modules['twisted.python.constants'] = constants
        vars(twisted.python)['constants'] = constants


_install()
