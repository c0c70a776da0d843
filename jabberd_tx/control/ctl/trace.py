"""jabberd-ctl trace: which way a stanza would take."""

from __future__ import annotations

import json

import click

from jabberd_tx.base.hashing import rendezvous
from jabberd_tx.control.ctl.site import Site, plain_errors
from jabberd_tx.xmpp.jid import InvalidJid, parse


@click.command()
@click.argument('jid', metavar='JID')
@click.option('--from', 'sender', metavar='JID', default='', help='Whom it is from.')
@click.option('--name', default='', help='The name or node that it is sent to: not the domain of JID.')
@click.option('--kind', type=click.Choice(('message', 'presence', 'iq')), default='message', show_default=True)
@click.option('--type', 'type_', metavar='TYPE', default='', help="Its attribute, such as 'chat'.")
@click.option('--json', 'as_json', is_flag=True, help='One JSON object for each router, on a line.')
@click.pass_obj
def trace(site: Site, jid: str, sender: str, name: str, kind: str, type_: str, as_json: bool) -> None:
    """Show which way a stanza to JID would take through each router that runs here, and why: filter rule, redirect,
    alias, default route, policy, key, slot, instance.  Nothing is sent.

    The exit status is 1 when no router runs, or one does not answer.
    """
    owner = _owner(jid, sender)
    links = site.running.able('trace')
    if not links:
        raise click.ClickException('no router is running here')
    with plain_errors():
        asked = {'jid': jid, 'sender': sender, 'name': name, 'kind': kind, 'type': type_}
        told = [link.ask('trace', **asked) for link in links]
    if as_json:
        click.echo('\n'.join([json.dumps(one) for one in told]))
        return
    routers = [one['router'] for one in told]
    first = rendezvous(owner, routers)
    for one in told:
        head = f'{one["router"]}, {kind} to {jid}' + (f' from {sender}' if sender else '') + f', sent to {one["name"]}'
        if len(routers) > 1:
            head += ': ' + ('the router for it' if one['router'] == first else f'while {first} is not there')
        click.echo('\n  '.join([head, *one['steps'], f'-> {one["node"] or "nobody in particular"}']))


def _owner(jid: str, sender: str) -> str:
    """The bare JID that chooses the router: of whose stanza it is, the sender or else the recipient."""
    try:
        by = parse(sender) if sender else None
        return by.bare if by is not None and by.local else parse(jid).bare
    except InvalidJid as error:
        raise click.ClickException(str(error)) from None
