"""What must hold between options is looked at when the file is read, and told in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jabberd_tx.base.option import ValuesOf
from jabberd_tx.base.options import ConfigError, Option, Section, load
from jabberd_tx.services.sections import all_sections

POOL = Section('pool', 'A pool.', Option('size', int, 10, 'How many.'))


def _rule(values_of: ValuesOf) -> None:
    if values_of(QUEUE).length < values_of(POOL).size:
        raise ValueError('queue.length: expected pool.size or more')


QUEUE = Section('queue', 'A queue.', Option('length', int, 10, 'How long.'), rule=_rule)


def test_a_rule_sees_what_the_file_says_of_other_sections() -> None:
    assert load(None, [QUEUE, POOL], ['queue.length=20', 'pool.size=20']).section(QUEUE).length == 20
    with pytest.raises(ConfigError, match=r'^defaults: queue.length: expected pool.size or more$'):
        load(None, [QUEUE, POOL], ['pool.size=20'])


def test_a_section_that_the_file_may_not_have_stands_with_its_defaults() -> None:
    """So that a part of the services can be configured alone."""
    assert load(None, [QUEUE]).section(QUEUE).length == 10
    with pytest.raises(ConfigError, match='expected pool.size'):
        load(None, [QUEUE], ['queue.length=9'])


def test_a_reload_keeps_the_rules(tmp_path: Path) -> None:
    """A file that breaks one changes nothing."""
    file = tmp_path / 'site.toml'
    file.write_text('[queue]\nlength = 20')
    config = load(file, [QUEUE, POOL])
    file.write_text('[queue]\nlength = 5')
    with pytest.raises(ConfigError, match='expected pool.size'):
        config.reread()
    assert config.section(QUEUE).length == 20


@pytest.mark.parametrize(
    ('settings', 'line'),
    [
        (['c2s.max_stanza_bytes=1000000'],
         'link.frame_limit: expected 3073728 bytes or more, since c2s.max_stanza_bytes is 1000000 and '
         'c2s.max_children 256'),
        (['link.frame_limit=500000'],
         'link.frame_limit: expected 860160 bytes or more, since c2s.max_stanza_bytes is 262144 and '
         'c2s.max_children 256'),
        (['link.credit=100000'], 'link.credit: expected link.frame_limit (1048576 bytes) or more'),
        (['link.frame_limit=40000000', 'link.credit=40000000'],
         'link.outbound_limit: expected twice link.frame_limit (80000000 bytes) or more'),
        (['link.heartbeat=4'], 'link.heartbeat_timeout: expected more than link.heartbeat (4 s)'),
    ],
)  # fmt: skip
def test_sizes_that_do_not_fit_each_other_stop_the_start(settings: list[str], line: str) -> None:
    """One sentence says which option and what it must be."""
    with pytest.raises(ConfigError) as caught:
        load(None, all_sections(), settings)
    assert str(caught.value) == f'defaults: {line}'


def test_larger_stanzas_are_taken_with_larger_frames() -> None:
    settings: list[Any] = ['c2s.max_stanza_bytes=1000000', 'link.frame_limit=4000000']
    assert load(None, all_sections(), settings)
