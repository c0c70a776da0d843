"""What all tests share: how many examples a property test gets, how long a Deferred may take, where files go.

Profiles (HYPOTHESIS_PROFILE): `check` is quick, `test` gives tests marked `fuzz` 500 examples, `fuzz` 10,000.
Tests that are not marked keep to a small number in each of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from twisted.trial.unittest import TestCase

EXAMPLES = {'check': 40, 'test': 100, 'fuzz': 100}
FUZZ_EXAMPLES = {'check': 40, 'test': 500, 'fuzz': 10_000}
PROFILE = os.environ.get('HYPOTHESIS_PROFILE', 'check')

for profile, examples in EXAMPLES.items():
    settings.register_profile(
        profile,
        max_examples=examples,
        deadline=None,
        # No folder of past failures in the checkout: a failure prints the example, which becomes a test.
        database=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
    )
settings.load_profile(PROFILE)

# A Deferred that never fires fails its test after this many seconds (trial's own default is 120).
TestCase.timeout = 30.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give property tests marked `fuzz` the profile's count.  One that is too slow for that is not marked."""
    wanted = FUZZ_EXAMPLES[PROFILE]
    for item in items:
        if item.get_closest_marker('fuzz') is None:
            continue
        machine = getattr(item, 'cls', None)
        if isinstance(getattr(machine, 'settings', None), settings):
            machine.settings = settings(machine.settings, max_examples=wanted)
            continue
        function = getattr(item.obj, '__func__', item.obj)
        if not getattr(function, 'is_hypothesis_test', False):
            raise pytest.UsageError(f'{item.nodeid} is marked fuzz and is no property test')
        own = getattr(function, '_hypothesis_internal_use_settings', None)
        function._hypothesis_internal_use_settings = settings(own or settings.default, max_examples=wanted)


@pytest.fixture(scope='session', autouse=True)
def trial_files_in_temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """`self.mktemp()` of trial's test cases names a path below pytest's temporary folder, not in the checkout."""
    with pytest.MonkeyPatch.context() as patch:
        # Short, for a unix socket's path has 107 bytes.
        patch.setattr(TestCase, 'mktemp', lambda case: str(tmp_path_factory.mktemp(case._testMethodName[:24]) / 'temp'))
        yield
