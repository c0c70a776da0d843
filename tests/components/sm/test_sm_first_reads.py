"""What is read at once when a user's session starts."""

from __future__ import annotations

from typing import Any

from jabberd_tx.storage import blocks, rosters, vcards
from jabberd_tx.storage.operations import Operation
from jabberd_tx.storage.rosters import Item
from tests.components.sm.sm_support import DOMAIN, Site

ROMEO, JULIET = f'romeo@{DOMAIN}', f'juliet@{DOMAIN}'


def operations_of(site: Site) -> list[str]:
    """The names of the operations that are run from now on, in order."""
    ran: list[str] = []
    run = site.storage.run

    def noting(operation: Operation, owner: str, *arguments: Any) -> Any:
        ran.append(operation.name)
        return run(operation, owner, *arguments)

    site.storage.run = noting  # type: ignore[method-assign]
    return ran


def test_roster_block_list_and_photo_are_one_request() -> None:
    """And none of them is read again when the client becomes available."""
    site = Site()
    ran = operations_of(site)
    site.c2s().client('romeo')
    assert ran.count('session.first') == 1
    assert not {rosters.load.name, blocks.get.name, vcards.photo.name} & set(ran)


def test_who_is_known_is_not_read_again() -> None:
    """A second client of the same user."""
    site = Site()
    c2s = site.c2s()
    c2s.client('romeo', 'one')
    ran = operations_of(site)
    c2s.client('romeo', 'two')
    assert not {'session.first', rosters.load.name, blocks.get.name, vcards.photo.name} & set(ran)


def test_what_it_gives_is_what_counts() -> None:
    """Those who are blocked get no presence, and those in the roster do."""
    site = Site()
    for contact in (JULIET, f'nurse@{DOMAIN}'):
        site.storage.run(rosters.put, ROMEO, Item(contact, subscription='both'))
        site.storage.run(rosters.put, contact, Item(ROMEO, subscription='both'))
    site.storage.run(blocks.add, ROMEO, [JULIET], 10)
    c2s = site.c2s()
    juliet, nurse = c2s.client('juliet'), c2s.client('nurse')
    romeo = c2s.client('romeo')
    came = [{stanza.attrs['from'] for stanza in client.stanzas} for client in (juliet, nurse)]
    assert romeo.jid not in came[0] and romeo.jid in came[1]


def test_without_storage_the_session_starts_all_the_same() -> None:
    """As it does when each reads for itself."""
    site = Site()
    site.storage.broken = 'the disk is full'
    romeo = site.c2s().start('romeo', 'r')
    assert romeo.jid == f'{ROMEO}/r'


def test_with_another_sm_everybody_reads_what_is_true_now() -> None:
    """Nothing is read ahead that the other one may change meanwhile."""
    site = Site()
    site.sm.is_alone = lambda: False  # type: ignore[method-assign]
    site.sm.first_reads._alone = site.sm.is_alone
    ran = operations_of(site)
    site.c2s().client('romeo')
    assert 'session.first' not in ran and blocks.get.name in ran
