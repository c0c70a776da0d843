"""The command line of jabberd-load."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from jabberd_tx.load.main import main
from jabberd_tx.xmpp.traffic import Sent, end, header, line


def run(*arguments):
    """Status, standard output, standard error."""
    done = CliRunner().invoke(main, [str(word) for word in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture
def recording(tmp_path):
    """Of two users."""
    file = tmp_path / 'x.jsonl'
    sent = Sent(0.0, 'u1@d1/r1', 'u2@d1', 'message', 'chat', 0, ())
    file.write_text('\n'.join([header('2026-01-01T00:00:00Z', True, False), line(sent), end(1.0, 1, 0)]) + '\n')
    return file


def test_the_accounts_are_rows_of_csv(recording):
    """As jabberd-ctl user import takes them."""
    status, out, err = run('accounts', recording, '--domain', 'localhost', '--prefix', 'u', '--password', 'a,b')
    assert (status, out, err) == (0, 'u1,localhost,"a,b"\nu2,localhost,"a,b"\n', '')


@pytest.mark.parametrize(
    ('text', 'told'),
    [
        (b'', None),
        (b'no recording\n', 'line 1: expected a JSON object'),
        (b'{"recording": 1}\n{"t": -1}\n', 'line 2: expected t to be seconds'),
        (b'{"recording": 1}\n\xff\n', "'utf-8' codec"),
    ],
)
def test_a_file_that_is_no_recording_is_refused_in_one_line(tmp_path, text, told):
    """With the line; an empty one has nobody in it."""
    file = tmp_path / 'x.jsonl'
    file.write_bytes(text)
    status, out, err = run('accounts', file, '--domain', 'localhost')
    if told is None:
        assert (status, out) == (0, '')
    else:
        assert (status, out) == (1, '') and err.startswith(f'Error: {file}: ') and told in err and err.count('\n') == 1


def test_what_stands_for_another_domain_is_a_pair(recording):
    """Said in one line, before anybody is connected to."""
    status, _, err = run('replay', recording, '--domain', 'localhost', '--map', 'd2')
    assert (status, err) == (1, 'Error: --map d2: expected OLD=NEW\n')
