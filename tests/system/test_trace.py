"""jabberd-ctl trace beside running routers, before and after their rules have changed."""

from __future__ import annotations

import json

from processes import DOMAIN, Site


def test_every_router_tells_the_way_and_follows_a_reload(site: Site) -> None:
    """The session manager gets what is for a user; a new filter rule and a new alias count as soon as they are read."""
    apart = len(site.processes) > 1
    done = site.ctl('trace', f'juliet@{DOMAIN}', '--json')
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one['router'] for one in told] == (['router-a', 'router-b'] if apart else ['router-a'])
    assert {one['node'] for one in told} == {'sm-a'} and {one['name'] for one in told} == {DOMAIN}

    file = site.folder / 'jabberd.toml'
    before = file.read_text()
    try:
        rules = '\n[[filter]]\nfrom = ["*.example.org"]\ncondition = "forbidden"\n'
        rules += f'\n[[alias]]\nname = "chat.example.org"\ntarget = "{DOMAIN}"\n'
        file.write_text(before + rules)
        done = site.ctl('reload')
        assert done.returncode == 0 and "applied: filter: '0 tables' -> '1 tables'" in done.stdout, done.stdout
        said = site.ctl('trace', f'juliet@{DOMAIN}', '--from', 'spam@a.example.org').stdout
        assert said.count('filter.0: deny with forbidden what is from *.example.org') == len(told), said
        said = site.ctl('trace', 'juliet@chat.example.org').stdout
        assert said.count(f'it is an alias of {DOMAIN}') == said.count('-> sm-a') == len(told), said
        assert ('the router for it' in said) is apart, said
    finally:
        file.write_text(before)
        assert site.ctl('reload').returncode == 0
