"""Messages for users who are not online are kept, and given to the next client that takes them (XEP-0160)."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from jabberd_tx.storage import offline
from jabberd_tx.storage.operations import Operation, StorageError
from jabberd_tx.testing.storage import ImmediateStorage
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.stanza import Stanza
from tests.components.sm.sm_support import DOMAIN, Client, Site

JULIET = f'juliet@{DOMAIN}'


class SlowStorage(ImmediateStorage):
    """Answers operations whose name is in `slow` when it is told to; what they do is done at once, or only then."""

    def __init__(self) -> None:
        super().__init__()
        self.slow: set[str] = set()
        self.waiting: list[tuple[Deferred[Any], Operation, str, tuple[Any, ...]]] = []

    def run(self, operation: Operation, owner: str, *arguments: Any) -> Deferred[Any]:
        if operation.name not in self.slow:
            return super().run(operation, owner, *arguments)
        waiting: Deferred[Any] = Deferred()
        self.waiting.append((waiting, operation, owner, arguments))
        return waiting

    def answer(self) -> None:
        """The oldest one is carried out now."""
        waiting, operation, owner, arguments = self.waiting.pop(0)
        super().run(operation, owner, *arguments).chainDeferred(waiting)


def stored(site: Site, owner: str = JULIET) -> list[str]:
    rows = site.storage.run(offline.page, owner, 0, 10_000).result
    return [Stanza.unpack(row.stanza).attrs['id'] for _, row in rows]


def come(site: Site, resource: str = 'r', priority: int | None = None) -> Client:
    """Juliet logs in; what she gets is not taken away."""
    client = site.c2s(f'c2s-{resource}').start('juliet', resource)
    client.come(priority)
    site.settle()
    return client


def test_what_was_stored_comes_in_order_with_the_time_when_it_came_and_is_dropped() -> None:
    site = Site()
    romeo = site.c2s().client('romeo')
    site.clock.advance(86400 * 365)
    for n in range(130):
        romeo.chat(JULIET, f'm{n}')
        site.settle()
    assert len(stored(site)) == 130
    site.advance(60)
    juliet = come(site)
    site.quiet()
    assert juliet.bodies() == [f'm{n}' for n in range(130)]
    first = next(stanza for stanza in juliet.stanzas if stanza.name == 'message')
    delay = first.child(ns.DELAY, 'delay')
    assert delay is not None
    assert first.xml_of(delay) == (
        f"<delay xmlns='urn:xmpp:delay' from='{DOMAIN}' stamp='1971-01-01T00:00:00.000Z'/>".encode()
    )
    assert stored(site) == []


def test_a_client_of_negative_priority_gets_nothing_until_it_wants_messages() -> None:
    site = Site()
    romeo = site.c2s().client('romeo')
    romeo.chat(JULIET, 'hi')
    juliet = come(site, priority=-1)
    site.quiet()
    assert juliet.bodies() == []
    juliet.come(0)
    site.quiet()
    assert juliet.bodies() == ['hi']
    juliet.come(5)
    site.quiet()
    assert juliet.bodies() == ['hi']


def test_the_client_of_the_highest_priority_gets_them() -> None:
    site = Site()
    romeo = site.c2s().client('romeo')
    romeo.chat(JULIET, 'one')
    site.settle()
    low = come(site, 'low', -5)
    high = come(site, 'high', 5)
    site.quiet()
    assert (low.bodies(), high.bodies()) == ([], ['one'])


def test_a_message_that_comes_while_older_ones_are_given_waits_until_they_are_through() -> None:
    site = Site()
    romeo = site.c2s().client('romeo')
    romeo.chat(JULIET, 'old')
    site.settle()
    there = site.c2s('c2s-2')
    juliet = there.start('juliet', 'r')
    there.holding = True
    juliet.come()
    site.settle()
    romeo.chat(JULIET, 'new')
    romeo.chat(juliet.jid, 'newer')
    site.settle()
    there.release()
    site.quiet()
    assert juliet.bodies() == ['old', 'new', 'newer']


def test_a_message_that_comes_between_presence_and_what_is_stored_waits_too() -> None:
    site = Site(storage=SlowStorage())
    romeo = site.c2s().client('romeo')
    romeo.chat(JULIET, 'old')
    site.settle()
    site.storage.slow = {'offline.page'}
    juliet = come(site)
    romeo.chat(JULIET, 'new')
    site.settle()
    assert juliet.bodies() == []
    site.storage.slow = set()
    site.storage.answer()
    site.quiet()
    assert juliet.bodies() == ['old', 'new']


def test_who_comes_while_a_message_is_being_stored_gets_it() -> None:
    """Stored, and then the sessions are looked at again."""
    site = Site(storage=SlowStorage())
    romeo = site.c2s().client('romeo')
    site.storage.slow = {'offline.push'}
    number = romeo.chat(JULIET, 'one')
    romeo.chat(JULIET, 'two')
    site.settle()
    juliet = come(site)
    assert juliet.bodies() == []
    assert number not in romeo.confirmed
    site.storage.slow = set()
    site.storage.answer()
    site.quiet()
    assert juliet.bodies() == ['one', 'two']
    assert stored(site) == []


def test_who_comes_while_the_account_is_looked_up_gets_it_too() -> None:
    site = Site(storage=SlowStorage())
    romeo = site.c2s().client('romeo')
    site.storage.slow = {'account.exists'}
    romeo.chat(JULIET, 'one')
    site.settle()
    juliet = come(site)
    site.storage.slow = set()
    site.storage.answer()
    site.quiet()
    assert juliet.bodies() == ['one']


def test_a_message_stored_while_others_are_given_is_given_after_them() -> None:
    site = Site(storage=SlowStorage())
    romeo, nurse = site.c2s().client('romeo'), site.c2s('c2s-n').client('nurse')
    romeo.chat(JULIET, 'old')
    site.settle()
    site.storage.slow = {'offline.push'}
    nurse.chat(JULIET, 'between')
    site.settle()
    there = site.c2s('c2s-2')
    juliet = there.start('juliet', 'r')
    there.holding = True
    juliet.come()
    site.settle()
    site.storage.slow = set()
    site.storage.answer()
    site.settle()
    there.release()
    site.quiet()
    assert juliet.bodies() == ['old', 'between']


def test_a_client_that_goes_while_it_is_given_messages_leaves_the_rest_for_the_next() -> None:
    site = Site()
    romeo = site.c2s().client('romeo')
    for n in range(6):
        romeo.chat(JULIET, f'm{n}')
    site.settle()
    there = site.c2s('c2s-2')
    first = there.start('juliet', 'first')
    there.holding = True
    first.come()
    site.settle()
    there.release(3)  # its own presence, and two messages
    there.holding = True
    first.leave()
    site.settle()
    there.release()
    site.quiet()
    got = first.bodies()
    assert stored(site) == [f'm{n}' for n in range(len(got), 6)]
    second = come(site, 'second')
    site.quiet()
    assert got + second.bodies() == [f'm{n}' for n in range(6)]


def test_nobody_gets_them_twice_when_two_clients_come_at_once() -> None:
    site = Site()
    romeo = site.c2s().client('romeo')
    romeo.chat(JULIET, 'm')
    site.settle()
    c2s = site.c2s('c2s-2')
    one, two = c2s.start('juliet', 'one'), c2s.start('juliet', 'two')
    one.come()
    two.come()
    site.quiet()
    assert one.bodies() + two.bodies() == ['m']


def test_a_full_store_means_an_error_for_the_sender() -> None:
    site = Site()
    site.sm.modules.by_name['offline'].values.limit = 2
    romeo = site.c2s().client('romeo')
    for n in range(4):
        romeo.chat(JULIET, f'm{n}')
    site.quiet()
    assert stored(site) == ['m0', 'm1']
    assert romeo.bodies() == ['error:m2', 'error:m3']
    assert "<error type='cancel'><service-unavailable" in romeo.xml()[-1]
    assert len(romeo.confirmed) == romeo.number + 1


def test_too_many_bytes_mean_the_same() -> None:
    site = Site()
    site.sm.modules.by_name['offline'].values.limit_bytes = 1000
    romeo = site.c2s().client('romeo')
    for name in ('a' * 100, 'b' * 500, 'c' * 50):
        romeo.chat(JULIET, name)
    site.quiet()
    assert [name[0] for name in stored(site)] == ['a', 'c']
    assert romeo.bodies() == ['error:' + 'b' * 500]


def test_what_nobody_has_fetched_for_long_is_dropped() -> None:
    """Where the operator wants it: before the user gets the rest, and to make room."""
    site = Site()
    module = site.sm.modules.by_name['offline']
    module.stop()  # nobody looks for it by and by
    options = module.values
    options.expire = 10
    romeo = site.c2s().client('romeo')
    romeo.chat(JULIET, 'old')
    site.quiet()
    site.clock.advance(9 * 86400)
    romeo.chat(JULIET, 'newer')
    site.quiet()
    site.clock.advance(2 * 86400)
    assert stored(site) == ['old', 'newer']
    options.limit = 2
    romeo.chat(JULIET, 'newest')
    site.quiet()
    assert stored(site) == ['newer', 'newest']
    site.clock.advance(9 * 86400)
    assert come(site).bodies() == ['newest']
    assert stored(site) == []


def test_a_failing_store_means_an_error_for_the_sender_before_it_is_confirmed() -> None:
    site = Site()
    romeo = site.c2s().client('romeo')
    site.storage.broken = 'out of order'
    for n in range(70):
        number = romeo.chat(JULIET, f'm{n}')
    site.quiet()
    assert romeo.bodies() == [f'error:m{n}' for n in range(70)]
    assert "<error type='wait'><resource-constraint" in romeo.xml()[-1]
    assert romeo.confirmed[-1] == number


def test_what_can_not_be_read_now_stays_stored() -> None:
    site = Site()
    romeo = site.c2s().client('romeo')
    romeo.chat(JULIET, 'm')
    site.settle()
    c2s = site.c2s('c2s-2')
    juliet = c2s.start('juliet', 'r')
    site.storage.broken = 'out of order'
    juliet.come()
    site.quiet()
    site.storage.broken = ''
    assert juliet.bodies() == []
    romeo.chat(JULIET, 'direct')
    site.quiet()
    assert juliet.bodies() == ['direct']
    later = come(site, 'later')
    site.quiet()
    assert later.bodies() == ['m']


def test_a_repeat_of_what_is_stored_is_stored_once() -> None:
    site = Site()
    romeo = site.c2s().client('romeo')
    number = romeo.chat(JULIET, 'm')
    frame = romeo.sent[number]
    site.quiet()
    # An sm that knows nothing of it gets it again.
    site.sm.delivery.settled.forget(romeo.stream)
    romeo.sent[number] = frame
    romeo.again(number)
    site.quiet()
    assert stored(site) == ['m']
    assert romeo.confirmed.count(number) == 2


@pytest.mark.parametrize(
    'children,kept',
    [
        ("<active xmlns='http://jabber.org/protocol/chatstates'/>", False),
        ("<gone xmlns='http://jabber.org/protocol/chatstates'/><thread>t</thread>", False),
        ("<active xmlns='http://jabber.org/protocol/chatstates'/><body>x</body>", True),
        ("<received xmlns='urn:xmpp:receipts' id='x'/>", True),
        ('', True),
    ],
)
def test_chat_states_alone_are_not_kept(children: str, kept: bool) -> None:
    site = Site()
    romeo = site.c2s().client('romeo')
    romeo.send(f"<message to='{JULIET}' type='chat' id='m'>{children}</message>")
    site.quiet()
    assert stored(site) == (['m'] if kept else [])
    assert romeo.stanzas == []


def test_without_the_module_the_sender_gets_an_error() -> None:
    site = Site(modules={'modules.offline': type('Values', (), {'enabled': False})()})
    romeo = site.c2s().client('romeo')
    romeo.chat(JULIET, 'm')
    site.quiet()
    assert romeo.bodies() == ['error:m']
    assert stored(site) == []


def test_storage_that_answers_with_an_error_of_its_own_kind_only_is_not_taken_for_a_user() -> None:
    """Whether the account exists can't be said: that is no 'no such user'."""
    site = Site(storage=SlowStorage())
    romeo = site.c2s().client('romeo')
    site.storage.slow = {'account.exists'}
    romeo.chat(JULIET, 'm')
    site.settle()
    waiting, *_ = site.storage.waiting.pop()
    waiting.errback(StorageError('timed out'))
    site.quiet()
    assert 'resource-constraint' in romeo.xml()[-1]
