"""The page about limits, and what is counted of them."""

from __future__ import annotations

import re
from pathlib import Path

from jabberd_tx.base.metrics import Metrics
from jabberd_tx.base.options import load
from jabberd_tx.components.c2s.limited import LIMITS, Limited
from jabberd_tx.components.c2s.options import OPTIONS as C2S
from jabberd_tx.components.sm.options import OPTIONS as SM
from jabberd_tx.services.sections import all_sections

ROOT = Path(__file__).parents[3]
OPTIONS = {option.name: option for section in (C2S, SM) for option in section.options}


def test_each_option_of_the_page_is_there_and_can_be_reloaded() -> None:
    """As the page says of all of them."""
    page = (ROOT / 'docs' / 'limits.md').read_text()
    named = set(re.findall(r'`([a-z]+_[a-z_]+)(?: = \d+)?`', page)) - {'jabberd_c2s_limited', 'jabberd_sm_limited'}
    assert {'most_connections', 'rate_bytes', 'failures_delay', 'max_resources'} <= named
    assert {name for name in named if name not in OPTIONS or not OPTIONS[name].reload} == set()


def test_the_benchmark_has_no_limits() -> None:
    """Nothing that a client of it could meet."""
    options = load(ROOT / 'etc' / 'bench.toml', all_sections()).section(C2S)
    names = [name for name in vars(options) if name.startswith('rate_') and name != 'rate_patience']
    assert len(names) == 4 and not any(getattr(options, name) for name in names)
    assert options.most_connections == options.address_connections == 0


def test_each_limit_has_a_counter() -> None:
    """By its name."""
    metrics = Metrics()
    limited = Limited(metrics)
    for limit in LIMITS:
        limited.note(limit, 'somebody')
        assert metrics.value('jabberd_c2s_limited', limit) == 1
