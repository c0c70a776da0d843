"""The files that are made from the options' declarations are as they would be made now, and load."""

from __future__ import annotations

from pathlib import Path

import pytest

from jabberd_tx.base import site, tls
from jabberd_tx.base.certificates import inspect
from jabberd_tx.base.options import load
from jabberd_tx.components.c2s import options as c2s
from jabberd_tx.services import first_start, reference
from jabberd_tx.services.sections import all_sections

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize('path', ['etc/jabberd.toml', 'docs/configuration.md', 'docs/modules-reference.md'])
def test_a_generated_file_is_up_to_date(path):
    """When this fails: make docs."""
    assert (ROOT / path).read_text('utf-8') == reference.generated()[path]


def test_every_section_and_every_option_has_a_name_of_its_own_and_a_default_that_it_takes():
    names = [section.name for section in all_sections()]
    assert len(set(names)) == len(names)
    for section in all_sections():
        options = [option.name for option in section.options]
        assert len(set(options)) == len(options), section.name
        for option in section.options:
            if not (section.many and option.default == ''):
                assert option.check(option.default) == option.default, f'{section.name}.{option.name}'


def test_the_example_is_the_defaults_for_localhost():
    config = load(ROOT / 'etc/jabberd.toml', all_sections())
    server = config.section(site.OPTIONS)
    assert (server.domains, Path(server.data).resolve()) == (['localhost'], ROOT / 'var')
    assert config.section(c2s.OPTIONS).fast_key == str(ROOT / 'var/fast.key')
    config.section(c2s.OPTIONS).fast_key = 'fast.key'
    assert config.section(c2s.OPTIONS) == c2s.OPTIONS.defaults()


def test_the_benchmarks_configuration_is_what_the_benchmark_asks_for(monkeypatch, tmp_path):
    monkeypatch.setenv('BENCH_WORK', str(tmp_path))
    config = load(ROOT / 'etc/bench.toml', all_sections())
    clients, [certificate] = config.section(c2s.OPTIONS), config.section(tls.OPTIONS)
    assert config.section(site.OPTIONS).domains == ['bench.test']
    assert (clients.port, clients.interface, clients.require_tls, clients.plain_without_tls) == (
        15222,
        '127.0.0.1',
        False,
        True,
    )
    assert Path(certificate.chain).resolve() == tmp_path / 'tls/cert.pem'
    assert Path(certificate.key).resolve() == tmp_path / 'tls/key.pem'


def test_a_first_start_makes_data_and_certificate_once(tmp_path, capsys):
    (tmp_path / 'etc').mkdir()
    text = "[server]\ndomains = ['a.example', 'b.example']\ndata = '../var'\n[[certificate]]\nchain = 'tls/a.pem'\n"
    (tmp_path / 'etc/site.toml').write_text(text)
    assert first_start.main([str(tmp_path / 'etc/site.toml')]) == 0
    data = tmp_path / 'var'
    assert capsys.readouterr().out == f'{data}\n'
    facts = inspect(str(data / 'tls/a.pem'), str(data / 'key.pem'))
    assert facts.key_matches and facts.names == ('a.example', 'b.example')
    assert data.stat().st_mode & 0o077 == 0 and (data / 'key.pem').stat().st_mode & 0o077 == 0
    before = (data / 'tls/a.pem').read_bytes()
    assert first_start.main([str(tmp_path / 'etc/site.toml')]) == 0
    assert (data / 'tls/a.pem').read_bytes() == before


def test_a_first_start_says_what_is_wrong_with_the_configuration(tmp_path):
    (tmp_path / 'site.toml').write_text('[server]\nnode = 1\n')
    line = first_start.main([str(tmp_path / 'site.toml')])
    assert str(line).endswith('site.toml: server.node: expected a string of at most 64 characters, not 1')
    assert 'usage' in str(first_start.main([]))
