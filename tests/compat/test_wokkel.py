"""wokkel works under the Twisted that is installed, once the shim is there."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys

import pytest

import jabberd_tx.compat.wokkel  # noqa: F401  # isort: skip
import wokkel

# wokkel uses names that Twisted has marked as old.
pytestmark = pytest.mark.filterwarnings('ignore:twisted.python.compat:DeprecationWarning')

MODULES = sorted(
    found.name
    for found in pkgutil.walk_packages(wokkel.__path__, 'wokkel.')
    # wokkel's own tests may want what is no part of wokkel.
    if not found.name.startswith('wokkel.test')
)


def test_there_are_modules_to_import():
    assert {'wokkel.muc', 'wokkel.pubsub', 'wokkel.disco', 'wokkel.ping', 'wokkel.xmppim'} <= set(MODULES)


@pytest.mark.parametrize('name', MODULES)
def test_each_module_of_wokkel_imports(name):
    importlib.import_module(name)


def test_the_shim_is_still_needed():
    """Without it the import fails in a fresh interpreter; when this no longer holds, the shim can go."""
    outcome = subprocess.run([sys.executable, '-c', 'import wokkel.muc'], capture_output=True, text=True, timeout=60)
    assert outcome.returncode == 1 and 'twisted.python.constants' in outcome.stderr


def test_a_disco_answer_round_trips():
    """One of the modules that the shim is for, at work."""
    from wokkel.disco import DiscoFeature, DiscoIdentity, DiscoInfo

    info = DiscoInfo()
    info.append(DiscoIdentity('server', 'im', 'jabberd-tx'))
    info.append(DiscoFeature('urn:xmpp:ping'))
    again = DiscoInfo.fromElement(info.toElement())
    assert (again.identities, again.features) == ({('server', 'im'): 'jabberd-tx'}, {'urn:xmpp:ping'})
