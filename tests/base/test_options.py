"""The configuration file: what is taken, and the one line that says what is wrong."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jabberd_tx.base import site
from jabberd_tx.base.options import ConfigError, Option, Section, load

C2S = Section(
    'c2s',
    'Client connections.',
    Option('port', int, 5222, 'Port.', low=0, high=65535),
    Option('login_timeout', float, 30.0, 'Time to log in.', unit='s', low=1, reload=True),
    Option('plain', bool, False, 'PLAIN.'),
    Option('conflict', str, 'new', 'Who wins.', choices=('new', 'old')),
    Option('names', list, ['a'], 'Names.', low=1, high=2),
    Option('colours', list, [], 'Colours.', choices=('red', 'blue')),
    Option('motd', str, '', 'Greeting.', high=10, reload=True),
)
LINK = Section('link', 'Links.', Option('secret', str, '', 'Shared secret.', low=8, secret=True, reload=True))
CERTIFICATE = Section(
    'certificate',
    'Certificates.',
    Option('chain', str, '', 'Chain.', path=True, reload=True),
    Option('domains', list, [], 'Names.', reload=True),
    many=True,
)
ROUTE = Section('route', 'Routes.', Option('name', str, '', 'Name.'), many=True)
PING = Section('modules.ping', 'Ping.', Option('interval', int, 60, 'Between pings.', unit='s', low=1))
SECTIONS = [C2S, LINK, CERTIFICATE, ROUTE, PING, site.OPTIONS]


@pytest.fixture
def write(tmp_path):
    """Write the file and load it."""

    def write_and_load(text, *overrides, sections=SECTIONS):
        file = tmp_path / 'site.toml'
        file.write_text(text, 'utf-8')
        return load(file, sections, overrides)

    return write_and_load


def complaint(write, text, *overrides):
    """The line that refuses it, without the folder."""
    with pytest.raises(ConfigError) as caught:
        write(text, *overrides)
    line = str(caught.value)
    assert '\n' not in line
    return line.rpartition('/')[2] if line.startswith('/') else line


def test_what_is_not_in_the_file_has_its_default(write):
    config = write('')
    assert config.section(C2S) == C2S.defaults()
    assert config.section(CERTIFICATE) == []
    assert config.section(PING).interval == 60


def test_values_of_every_kind_are_taken(write):
    values = write(
        "[c2s]\nport = 0\nlogin_timeout = 5\nplain = true\nconflict = 'old'\nnames = ['x', 'y']\ncolours = ['red']\n"
        '[modules.ping]\ninterval = 5\n'
    )
    c2s = values.section(C2S)
    assert (c2s.port, c2s.plain, c2s.conflict, c2s.names, c2s.colours) == (0, True, 'old', ['x', 'y'], ['red'])
    assert c2s.login_timeout == 5.0 and type(c2s.login_timeout) is float
    assert values.section(PING).interval == 5


def test_an_array_of_tables_gives_a_list(write):
    config = write("[[certificate]]\nchain = '/a.pem'\n[[certificate]]\ndomains = ['b.example']\n")
    first, second = config.section(CERTIFICATE)
    assert (first.chain, first.domains, second.chain, second.domains) == ('/a.pem', [], '', ['b.example'])


def test_defaults_are_not_shared_between_two_configurations(write):
    write('').section(C2S).names.append('b')
    assert write('').section(C2S).names == ['a']
    assert C2S.defaults().names == ['a']


@pytest.mark.parametrize(
    ('text', 'line'),
    [
        ('[c2s]\nprot = 1', 'site.toml: c2s.prot: no such option; did you mean port?'),
        ('[c2s]\nlogin-timeout = 1', 'site.toml: c2s.login-timeout: no such option; did you mean login_timeout?'),
        ('[link]\nzzz = 1', 'site.toml: link.zzz: no such option; expected one of: secret'),
        ('[c3s]\nport = 1', 'site.toml: [c3s]: no such section; did you mean c2s?'),
        ('[modules.pong]\ninterval = 1', 'site.toml: [modules.pong]: no such section; did you mean modules.ping?'),
        ('modules = 3', 'site.toml: modules: expected tables [modules.NAME]'),
        ("[c2s]\nport = '5222'", "site.toml: c2s.port: expected an integer from 0 to 65535, not '5222'"),
        ('[c2s]\nport = 65536', 'site.toml: c2s.port: expected an integer from 0 to 65535, not 65536'),
        ('[c2s]\nport = true', 'site.toml: c2s.port: expected an integer from 0 to 65535, not true'),
        ('[c2s]\nport = 1.5', 'site.toml: c2s.port: expected an integer from 0 to 65535, not 1.5'),
        ('[c2s]\nplain = 1', 'site.toml: c2s.plain: expected true or false, not 1'),
        ('[c2s]\nlogin_timeout = 0.5', 'site.toml: c2s.login_timeout: expected a number at least 1 s, not 0.5'),
        ('[c2s]\nlogin_timeout = nan', 'site.toml: c2s.login_timeout: expected a number at least 1 s, not nan'),
        ("[c2s]\nconflict = 'both'", "site.toml: c2s.conflict: expected one of 'new', 'old', not 'both'"),
        ('[c2s]\nnames = []', 'site.toml: c2s.names: expected a list of 1 to 2 strings, not []'),
        ('[c2s]\nnames = [1]', 'site.toml: c2s.names: expected a list of 1 to 2 strings, not [1]'),
        (
            "[c2s]\ncolours = ['green']",
            "site.toml: c2s.colours: expected a list, each item one of 'red', 'blue', not ['green']",
        ),
        (
            "[c2s]\nmotd = '12345678901'",
            "site.toml: c2s.motd: expected a string of at most 10 characters, not '12345678901'",
        ),
        ('c2s = 3', 'site.toml: c2s: expected one table [c2s]'),
        ('[[c2s]]\nport = 3', 'site.toml: c2s: expected one table [c2s]'),
        ("[certificate]\nchain = 'x'", 'site.toml: certificate: expected one or more tables [[certificate]]'),
        (
            '[[certificate]]\n[[certificate]]\nkey = 1',
            'site.toml: certificate.1.key: no such option; expected one of: chain, domains',
        ),
        ("[link]\nsecret = 'short'", 'site.toml: link.secret: expected a string of at least 8 characters'),
        ('[c2s]\n\nport = \n', 'site.toml:3: not TOML: Invalid value'),
        ('[c2s', "site.toml: not TOML: Expected ']' at the end of a table declaration (at end of document)"),
    ],
)
def test_each_mistake_is_told_in_one_line(write, text, line):
    assert complaint(write, text) == line


def test_a_secret_is_not_shown_in_a_complaint_or_a_difference(write):
    assert 'hunter2' not in complaint(write, "[link]\nsecret = 'hunter2'")
    found = write("[link]\nsecret = 'hunter22'").differences(write("[link]\nsecret = 'hunter23'"))
    assert 'hunter' not in str(found)


def test_a_file_that_is_missing_or_not_utf8_is_told(tmp_path):
    with pytest.raises(ConfigError, match='none.toml: cannot be read: No such file or directory'):
        load(tmp_path / 'none.toml', SECTIONS)
    (tmp_path / 'latin.toml').write_bytes(b'# caf\xe9\n')
    with pytest.raises(ConfigError, match=r'latin.toml: expected UTF-8 \(the byte at 5 is not\)'):
        load(tmp_path / 'latin.toml', SECTIONS)


def test_the_command_line_overrides_the_file(write):
    config = write(
        '[c2s]\nport = 1\n',
        'c2s.port=5223',
        "c2s.names=['p', 'q']",
        'c2s.motd=12',
        'c2s.conflict=old',
        'modules.ping.interval=7',
        'certificate.0.chain=/tls/a.pem',
    )
    c2s = config.section(C2S)
    assert (c2s.port, c2s.names, c2s.motd, c2s.conflict) == (5223, ['p', 'q'], '12', 'old')
    assert config.section(PING).interval == 7
    assert config.section(CERTIFICATE)[0].chain == '/tls/a.pem'


@pytest.mark.parametrize(
    ('override', 'line'),
    [
        ('c2s.port', '--set c2s.port: expected SECTION.OPTION=VALUE'),
        ('port=1', '--set port=1: expected SECTION.OPTION=VALUE'),
        ('c2s.port=abc', '--set c2s.port=abc: expected an integer from 0 to 65535'),
        ('c2s.nope=abc', '--set c2s.nope=abc: expected a TOML value'),
        ('c2s.prot=1', 'site.toml: c2s.prot: no such option; did you mean port?'),
        ('c2s.port=99999', 'site.toml: c2s.port: expected an integer from 0 to 65535, not 99999'),
        ('certificate.1.chain=x', "--set certificate.1.chain=x: expected a number from 0 to 0, not '1'"),
        (
            'certificate.chain=x',
            '--set certificate.chain=x: expected SECTION.OPTION=VALUE, or SECTION.NUMBER.OPTION=VALUE',
        ),
        ('c2s.port.x=1', "site.toml: c2s.port: expected an integer from 0 to 65535, not {'x': 1}"),
    ],
)
def test_a_wrong_override_is_told_in_one_line(write, override, line):
    assert complaint(write, '', override) == line


def test_paths_are_below_data_and_data_is_below_the_folder_of_the_file(write, tmp_path):
    config = write(
        "[server]\ndata = '../var'\n[[certificate]]\nchain = 'tls/a.pem'\n[[certificate]]\nchain = '/b.pem'\n"
    )
    data = Path(config.section(site.OPTIONS).data)
    assert data.resolve() == tmp_path.parent / 'var'
    first, second = config.section(CERTIFICATE)
    assert (Path(first.chain), second.chain) == (data / 'tls/a.pem', '/b.pem')
    assert Path(write('').section(site.OPTIONS).data) == tmp_path / 'var'


def test_without_a_file_paths_are_below_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = load(None, SECTIONS, ['certificate.0.chain=a.pem'])
    assert Path(config.section(site.OPTIONS).data) == tmp_path / 'var'
    assert Path(config.section(CERTIFICATE)[0].chain) == tmp_path / 'var' / 'a.pem'


def test_variables_of_the_environment_are_replaced_in_paths_alone(write, monkeypatch):
    monkeypatch.setenv('SITE_TLS', '/srv/tls')
    monkeypatch.delenv('SITE_NONE', raising=False)
    config = write(
        "[[certificate]]\nchain = '${SITE_TLS}/a.pem'\ndomains = ['${SITE_TLS}']\n"
        "[[certificate]]\nchain = '${SITE_NONE:-/etc/tls}/b.pem'\n"
    )
    first, second = config.section(CERTIFICATE)
    assert (first.chain, first.domains, second.chain) == ('/srv/tls/a.pem', ['${SITE_TLS}'], '/etc/tls/b.pem')
    line = complaint(write, "[[certificate]]\nchain = '${SITE_NONE}/a.pem'")
    assert line == 'site.toml: certificate.0.chain: expected the environment variable SITE_NONE to be set'


def test_a_secret_may_stand_in_a_file(write, tmp_path):
    (tmp_path / 'var').mkdir()
    (tmp_path / 'var' / 'link.secret').write_text('correct horse\nbattery\n')
    assert write("[link]\nsecret_file = 'link.secret'").section(LINK).secret == 'correct horse'
    line = complaint(write, "[link]\nsecret_file = 'link.secret'\nsecret = 'another one'")
    assert line == 'site.toml: link.secret_file: expected either secret or secret_file'
    with pytest.raises(ConfigError, match=r'link.secret_file: expected a readable file, not .*none.secret'):
        write("[link]\nsecret_file = 'none.secret'")
    (tmp_path / 'var' / 'empty.secret').write_text('')
    with pytest.raises(ConfigError, match=r'link.secret_file: expected a string of at least 8 characters$'):
        write("[link]\nsecret_file = 'empty.secret'")
    assert 'no such option' in complaint(write, "[c2s]\nmotd_file = 'x'")


def test_differences_are_split_by_what_a_running_server_can_apply(write):
    old = write('[c2s]\nport = 1\nlogin_timeout = 10\n')
    found = old.differences(write('[c2s]\nport = 2\nlogin_timeout = 20\n'))
    assert [str(change) for change in found.reload] == ['c2s.login_timeout: 10.0 -> 20.0']
    assert [str(change) for change in found.restart] == ['c2s.port: 1 -> 2']
    assert old.differences(write('[c2s]\nport = 1\nlogin_timeout = 10\n')) == ([], [])


def test_differences_of_tables_in_an_array(write):
    old = write("[[certificate]]\nchain = '/a'\n[[route]]\nname = 'x'\n")
    changed = old.differences(write("[[certificate]]\nchain = '/b'\n[[route]]\nname = 'y'\n"))
    assert [change.key for change in changed.reload] == ['certificate.0.chain']
    assert [change.key for change in changed.restart] == ['route.0.name']
    more = old.differences(write("[[certificate]]\n[[certificate]]\n[[route]]\nname = 'x'\n[[route]]\n"))
    assert [str(change) for change in more.reload] == ["certificate: '1 tables' -> '2 tables'"]
    assert [change.key for change in more.restart] == ['route']


def test_apply_changes_the_objects_that_are_held_and_only_what_needs_no_restart(write, tmp_path):
    config = write(
        "[c2s]\nport = 1\nmotd = 'a'\n[[certificate]]\nchain = '/a'\n[[route]]\nname = 'x'\n", 'c2s.plain=true'
    )
    c2s, certificates, routes = config.section(C2S), config.section(CERTIFICATE), config.section(ROUTE)
    (tmp_path / 'site.toml').write_text(
        "[c2s]\nport = 2\nmotd = 'b'\n[[certificate]]\nchain = '/b'\n[[certificate]]\n[[route]]\nname = 'y'\n"
    )
    found = config.apply(config.reread())
    assert (c2s.port, c2s.motd, c2s.plain) == (1, 'b', True)
    assert [certificate.chain for certificate in certificates] == ['/b', '']
    assert [route.name for route in routes] == ['x']
    assert [change.key for change in found.restart] == ['c2s.port', 'route.0.name']
    # What still waits for the restart is told again by the next reload.
    assert [change.key for change in config.apply(config.reread()).restart] == ['c2s.port', 'route.0.name']


def test_a_reread_that_fails_leaves_the_configuration_as_it_is(write, tmp_path):
    config = write('[c2s]\nport = 1\n')
    (tmp_path / 'site.toml').write_text('[c2s]\nport = -1\n')
    with pytest.raises(ConfigError):
        config.reread()
    assert config.section(C2S).port == 1


@pytest.mark.parametrize(
    ('option', 'words'),
    [
        (Option('a', bool, True, ''), 'true or false'),
        (Option('a', int, 0, ''), 'an integer'),
        (Option('a', int, 0, '', unit='bytes', low=0, high=1 << 20), 'an integer from 0 to 1048576 bytes'),
        (Option('a', float, 0, '', unit='s'), 'a number (s)'),
        (Option('a', float, 0, '', high=0.5), 'a number at most 0.5'),
        (Option('a', str, '', '', low=1), 'a string that is not empty'),
        (Option('a', str, '', '', low=0, high=9), 'a string of at most 9 characters'),
        (Option('a', str, '', '', low=6, high=6), 'a string of exactly 6 characters'),
        (Option('a', str, '', '', low=1, path=True), 'a path that is not empty'),
        (Option('a', list, [], '', low=1), 'a list of at least 1 string'),
        (Option('a', list, [], '', low=2, high=3), 'a list of 2 to 3 strings'),
    ],
)
def test_what_an_option_takes_is_told_in_words(option, words):
    assert option.expected() == words


@given(st.text(max_size=300))
def test_any_text_is_a_configuration_or_one_line(tmp_path_factory, text):
    file = tmp_path_factory.getbasetemp() / 'any.toml'
    file.write_text(text, 'utf-8', errors='replace')
    try:
        load(file, SECTIONS)
    except ConfigError as error:
        assert '\n' not in str(error)


@given(st.one_of(st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.text()), st.none()))
def test_what_check_takes_is_inside_the_declared_bounds(value):
    """Whatever comes: it is refused, or it is a value of the kind, within the bounds."""
    for option in C2S.options:
        try:
            taken = option.check(value)
        except ValueError as error:
            assert 'expected' in str(error)
            continue
        assert type(taken) is option.kind
        size = taken if option.kind in (int, float, bool) else len(taken)
        assert option.low is None or size >= option.low
        assert option.high is None or size <= option.high
        assert not isinstance(taken, float) or math.isfinite(taken)


def test_a_nodes_name_comes_from_the_configuration_or_from_host_and_process():
    options = site.OPTIONS.defaults()
    options.node = 'a7'
    assert site.node_name(options, 'c2s') == 'c2s-a7'
    options.node = ''
    assert site.node_name(options, 'sm').startswith('sm-') and site.node_name(options, 'sm')[-1].isdigit()
