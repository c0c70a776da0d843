"""The reference of options: a file that loads, and a page that names every option."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jabberd_tx.base import site
from jabberd_tx.base.options import Option, Section, load
from jabberd_tx.control.reference import page, toml, toml_file

C2S = Section(
    'c2s',
    'Client connections',
    Option('port', int, 5222, 'TCP port for clients', low=0, high=65535),
    Option('motd', str, "it's", 'Greeting; "a|b".', reload=True),
    Option('secret', str, '', 'Shared.', secret=True),
)
ROUTE = Section(
    'route', 'Routes.', Option('name', str, 'x', 'Name.'), Option('weight', float, 1.0, 'Weight.'), many=True
)
SECTIONS = [site.OPTIONS, C2S, ROUTE]


def test_the_file_with_nothing_set_loads_to_the_defaults(tmp_path):
    (tmp_path / 'site.toml').write_text(toml_file(SECTIONS, {}))
    config = load(tmp_path / 'site.toml', SECTIONS)
    assert config.section(C2S) == C2S.defaults()
    assert config.section(ROUTE) == []


def test_what_stands_behind_the_comment_signs_are_the_defaults():
    """Take away the sign before each option and each title: nothing changes."""
    names = {option.name for section in (C2S, ROUTE) for option in section.options}
    lines = [line.removeprefix('# ') for line in toml_file([C2S, ROUTE], {}).splitlines()]
    kept = [line for line in lines if line.startswith('[') or line.partition(' = ')[0] in names]
    found = tomllib.loads('\n'.join(kept))
    assert found == {'c2s': {'port': 5222, 'motd': "it's", 'secret': ''}, 'route': [{'name': 'x', 'weight': 1.0}]}


def test_settings_are_set_and_told_once(tmp_path):
    text = toml_file(SECTIONS, {'c2s': {'port': 5}, 'route': [{'name': 'a'}, {'name': 'b', 'weight': 2.0}]})
    (tmp_path / 'site.toml').write_text(text)
    config = load(tmp_path / 'site.toml', SECTIONS)
    assert config.section(C2S).port == 5
    assert [(route.name, route.weight) for route in config.section(ROUTE)] == [('a', 1.0), ('b', 2.0)]
    assert text.count('# Routes.') == 1


def test_no_line_of_the_file_is_longer_than_a_screen():
    long = Section('long', 'word ' * 100, Option('a', int, 1, 'word ' * 100))
    assert max(map(len, toml_file([long], {}).splitlines())) <= 118


def test_the_page_has_a_row_for_each_option_and_hides_no_bounds():
    text = page(SECTIONS)
    assert '| `port` | `5222` | an integer from 0 to 65535 | TCP port for clients. |' in text
    assert '| `motd` | `"it\'s"` | a string | Greeting; "a\\|b". *reload* |' in text
    assert '## `[[route]]`' in text and '*secret*' in text


@pytest.mark.parametrize(
    ('value', 'written'),
    [(True, 'true'), (5, '5'), (0.5, '0.5'), ('a', "'a'"), ("it's", '"it\'s"'), ([], '[]'), (['a', 'b'], "['a', 'b']")],
)
def test_values_are_written_as_toml(value, written):
    assert toml(value) == written


@given(
    st.one_of(st.booleans(), st.integers(-(2**62), 2**62), st.floats(allow_nan=False), st.text(), st.lists(st.text()))
)
def test_every_value_that_is_written_reads_back(value):
    assert tomllib.loads(f'a = {toml(value)}')['a'] == value
