"""The processes of a machine as the supervisor starts them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from jabberd_tx.base.options import ConfigError, load
from jabberd_tx.services.command_line import Options
from jabberd_tx.services.layout import plan, secrets_of
from jabberd_tx.services.made_secret import made_secret
from jabberd_tx.services.sections import all_sections

ROOT = Path(__file__).parents[2]


def config(tmp_path, *overrides):
    """Of a file that asks for one of each."""
    file = tmp_path / 'site.toml'
    file.write_text("[server]\ndata = 'data'\n[processes]\nrouters = 2\nsm = 1\nc2s = 2\n")
    return load(file, all_sections(), overrides)


def options_of(planned):
    """The configuration as the process itself reads it."""
    options = Options()
    # Without --supervised, which is for the process itself.
    rest = planned.command[planned.command.index('--supervised') + 1 :]
    options.parseOptions(rest)
    return options['configuration']


def test_names_ports_and_links_are_worked_out(tmp_path):
    """Each process reads what is its own; those who end first come first."""
    planned = {one.name: one for one in plan(config(tmp_path))}
    assert list(planned) == ['c2s-1', 'c2s-2', 'sm-1', 'router-1', 'router-2']
    read = {name: options_of(one)._values for name, one in planned.items()}
    assert [values['server'].node for values in read.values()] == ['1', '2', '1', '1', '2']
    routers = ['127.0.0.1:5347', '127.0.0.1:5348']
    assert all(values['link'].routers == routers for values in read.values())
    assert [read[name]['router'].listen for name in ('router-1', 'router-2')] == routers
    assert all(read[name]['c2s'].reuse_port for name in ('c2s-1', 'c2s-2'))
    ports = [read['c2s-1']['http'].c2s_port, read['c2s-2']['http'].c2s_port, read['router-2']['http'].router_port]
    assert ports == [5282, 5292, 5291]
    assert planned['sm-1'].command[4:7] == ['--pidfile=', 'jabberd-sm', '--supervised']


def test_the_command_line_of_the_supervisor_goes_on_to_all(tmp_path):
    """And the name that its machine has among others."""
    planned = plan(config(tmp_path, 'c2s.port=5999', 'server.node="b"', 'processes.c2s=1'))
    assert [one.name for one in planned] == ['c2s-b1', 'sm-b1', 'router-b1', 'router-b2']
    clients = options_of(planned[0])._values
    assert (clients['c2s'].port, clients['c2s'].reuse_port, clients['server'].node) == (5999, False, 'b1')


def test_routers_elsewhere_are_left_as_the_configuration_has_them(tmp_path):
    """A machine of several."""
    far = 'link.routers=["10.0.0.1:5347", "10.0.0.2:5347"]'
    [clients] = plan(config(tmp_path, far, 'processes.routers=0', 'processes.sm=0', 'processes.c2s=1'))
    assert options_of(clients)._values['link'].routers == ['10.0.0.1:5347', '10.0.0.2:5347']
    # Not on the command line of a process by itself: a reload can change it.
    file = tmp_path / 'site.toml'
    file.write_text(file.read_text() + "[link]\nrouters = ['10.0.0.1:5347', '10.0.0.2:5347']\n")
    assert not any('link.routers' in word for one in plan(load(file, all_sections())) for word in one.command)


@pytest.mark.parametrize(
    ('override', 'told'),
    [
        ('router.listen=127.0.0.1:65535', 'router.listen: expected a port with room for 2 routers'),
        ('router.listen=127.0.0.1:0', 'router.listen: expected a port with room'),
        ('router.listen=here', 'router.listen: expected host:port'),
        ('http.c2s_port=5291', 'http.router_port: expected another port: router-2 would get 5291, which has c2s-1'),
        ('http.sm_port=5280', 'http.sm_port: expected another port: sm-1 would get 5280, which has the supervisor'),
        ('http.c2s_port=65530', 'http.c2s_port: expected another port: c2s-2 would get 65540, which is none'),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(tmp_path, override, told):
    """With the option that is to be changed."""
    with pytest.raises(ConfigError, match=told):
        plan(config(tmp_path, override))


@pytest.mark.parametrize(
    ('override', 'told'),
    [
        ('processes.heartbeat_timeout=1', r'heartbeat_timeout: expected more than processes.heartbeat \(2 s\)'),
        ('processes.restart_maximum=0.1', 'processes.restart_maximum: expected processes.restart_initial'),
        ('processes.sm=2', 'processes.sm: expected 1, or redis.masters'),
    ],
)
def test_rules_of_the_section(tmp_path, override, told):
    """One line each."""
    with pytest.raises(ConfigError, match=told):
        config(tmp_path, override)


def test_shared_secrets_are_made_once_and_for_their_owner_alone(tmp_path):
    """Each process reads the same; one in the configuration counts."""
    made = secrets_of(config(tmp_path))
    assert [text.partition('=')[0] for text in made] == ['link.secret_file', 'c2s.decoy_secret_file']
    assert secrets_of(config(tmp_path)) == made
    link = config(tmp_path, *made)._values['link']
    file = tmp_path / 'data' / 'link.secret'
    assert len(link.secret) >= 32 and file.read_text() == link.secret + '\n'
    assert file.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in file.parent.iterdir()) == ['decoy.secret', 'link.secret']
    own = ['link.secret=0123456789abcdef', 'c2s.decoy_secret=x']
    assert secrets_of(config(tmp_path, *own)) == []


def test_a_secret_that_is_there_is_left_alone(tmp_path):
    """Also when two start together."""
    file = tmp_path / 'secret'
    first = made_secret(file).read_text()
    assert made_secret(file).read_text() == first


def test_a_process_ends_with_its_supervisor(tmp_path):
    """When the pipe ends; and is killed when it does not take SIGTERM."""
    code = 'import signal, sys, time; from jabberd_tx.services.lifeline import end_with_supervisor\n'
    code += 'end_with_supervisor(0.05); sys.argv[1:] and signal.signal(15, signal.SIG_IGN)\n'
    code += 'print(1, flush=1); time.sleep(60)'
    for arguments, status in (([], -15), (['deaf'], -9)):
        process = subprocess.Popen(
            [sys.executable, '-c', code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
        )
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline() == b'1\n'
        assert process.poll() is None
        process.stdin.close()
        assert process.wait(10) == status
        process.stdout.close()
