"""What processes say is written where it belongs."""

from __future__ import annotations

import io
import os

from hypothesis import given
from hypothesis import strategies as st

from jabberd_tx.control.watchdog.output import MOST_LINE, FileOutput, PrefixedOutput


def test_a_log_is_for_its_owner_alone_and_rotated(tmp_path):
    """The oldest of the files goes."""
    folder = tmp_path / 'log'
    output = FileOutput(str(folder), 'sm-1', 100, 2)
    for number in range(8):
        output.write(b'%d' % number * 60 + b'\n')
    output.close()
    assert sorted(os.listdir(folder)) == ['sm-1.log', 'sm-1.log.1', 'sm-1.log.2']
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / 'sm-1.log').read_bytes().endswith(b'7\n')


def test_a_log_that_was_moved_away_is_made_anew(tmp_path):
    """At a reload, as for logrotate."""
    output = FileOutput(str(tmp_path), 'sm-1', 1000, 2)
    output.write(b'before\n')
    (tmp_path / 'sm-1.log').rename(tmp_path / 'old')
    output.reopen()
    output.write(b'after\n')
    output.close()
    assert (tmp_path / 'old').read_text() == 'before\n' and (tmp_path / 'sm-1.log').read_text() == 'after\n'
    assert (tmp_path / 'sm-1.log').stat().st_mode & 0o777 == 0o600


def test_a_full_disk_harms_nobody(tmp_path):
    """What can't be written is lost."""
    output = FileOutput(str(tmp_path), 'sm-1', 1000, 2)
    output._file._file.close()
    output._file._file = open('/dev/full', 'rb+', 0)
    output.write(b'lost\n')
    output.write(b'lost as well\n')
    output.close()


@given(st.lists(st.binary(max_size=30)))
def test_each_line_has_the_name_before_it(pieces):
    """However the bytes are cut up; what has no end gets one."""
    stream = io.BytesIO()
    output = PrefixedOutput('c2s-1', stream)
    for piece in pieces:
        output.write(piece)
    output.close()
    lines = b''.join(pieces).split(b'\n')
    assert stream.getvalue() == b''.join(
        [b'c2s-1: ' + line + b'\n' for line in (lines if lines[-1] else lines[:-1])]
    )


def test_a_line_without_end_is_cut():
    """Nothing grows without bound."""
    stream = io.BytesIO()
    output = PrefixedOutput('c2s-1', stream)
    for _ in range(3):
        output.write(b'x' * MOST_LINE)
    assert len(stream.getvalue()) > MOST_LINE and len(output._rest) <= MOST_LINE
