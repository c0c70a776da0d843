"""Accounts by jabberd-ctl before, while and after a server runs, in both shapes: one set of accounts all along."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from processes import DOMAIN, SHAPES, Site
from raw_client import RawClient


def said(site: Site, *arguments: str, stdin: str = '') -> list[str]:
    """The lines of a command that succeeds."""
    done = site.ctl('user', *arguments, stdin=stdin)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


async def can_log_in(site: Site, name: str, password: str) -> bool:
    """By the last of the ports."""
    client = RawClient(site.ports[-1], site.folder / 'data' / 'cert.pem')
    await client.connect()
    await client.start_tls()
    try:
        await client.authenticate(name, password)
        return True
    except AssertionError as error:
        assert '<not-authorized' in str(error), error
        return False
    finally:
        client.close()


def logins(site: Site, *pairs: tuple[str, str]) -> list[bool]:
    async def talk() -> list[bool]:
        return [await can_log_in(site, *pair) for pair in pairs]

    return asyncio.run(talk())


@pytest.mark.parametrize('shape', SHAPES)
def test_accounts_before_while_and_after_a_server_runs(tmp_path: Path, shape: str) -> None:
    """What is done in the file is there when the server starts, and the other way round."""
    site = Site(tmp_path / 'site', shape)
    site.add_user('one', 'first')
    site.add_user('two', 'second')
    said(site, 'passwd', f'one@{DOMAIN}', '--password-stdin', stdin='changed\n')
    assert site.ctl('user', 'add', f'one@{DOMAIN}', '--password-stdin', stdin='x\n').returncode != 0
    assert site.ctl('status').returncode != 0, 'there is no server'
    with site:
        site.run_all()
        pairs = ('one', 'changed'), ('one', 'first'), ('two', 'second')
        assert logins(site, *pairs) == [True, False, True]
        assert said(site, 'list') == [f'one@{DOMAIN}', f'two@{DOMAIN}']
        (site.folder / 'users.csv').write_text(f'three,{DOMAIN},third\ntwo,{DOMAIN},again\nfour,{DOMAIN},fourth\n')
        said(site, 'import', 'users.csv')
        said(site, 'del', f'one@{DOMAIN}')
        pairs = ('one', 'changed'), ('two', 'second'), ('two', 'again'), ('three', 'third'), ('four', 'fourth')
        assert logins(site, *pairs) == [False, False, True, True, True]
        assert site.ctl('user', 'del', f'one@{DOMAIN}').returncode != 0
    assert said(site, 'list') == sorted(f'{name}@{DOMAIN}' for name in ('two', 'three', 'four'))
    said(site, 'del', f'four@{DOMAIN}')
    assert said(site, 'list') == [f'three@{DOMAIN}', f'two@{DOMAIN}']
