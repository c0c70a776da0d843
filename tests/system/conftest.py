"""Sites of real processes, and the clients that other people wrote."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from processes import SHAPES, Site

# A shell has what runs in its background ignore it: then so would the processes that the tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All that is here starts servers."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.system)


@pytest.fixture(scope='module', params=SHAPES)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running site with the accounts juliet, romeo and nurse, in each shape."""
    folder = tmp_path_factory.mktemp(request.param.replace(' ', '-'))
    with Site.start(folder, request.param) as running:
        for name in ('juliet', 'romeo', 'nurse'):
            running.add_user(name, f'{name}-secret')
        yield running
