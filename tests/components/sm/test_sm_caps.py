"""Entity capabilities (XEP-0115): the server's own hash, and what clients are asked and believed."""

from __future__ import annotations

from jabberd_tx.components.sm.questions import SECONDS
from jabberd_tx.xmpp import ns
from jabberd_tx.xmpp.payloads.caps import NODE, verification
from jabberd_tx.xmpp.payloads.forms import parse
from tests.components.sm.sm_support import DOMAIN, Client, Site
from tests.components.sm.test_sm_iq import INFO, ask
from tests.components.sm.test_sm_profile import values
from tests.xmpp.test_caps import EXODUS, PSI

VER, PSI_VER = 'QgayPKawpkPSDYmwT/WM94uAlu0=', 'q07IKJEyjvHSyhy//CH0CxmKi8w='


def presence(ver: str = VER) -> str:
    return f"<presence><c xmlns='{ns.CAPS}' hash='sha-1' node='n' ver='{ver}'/></presence>"


def questions(client: Client) -> list[str]:
    """The ids of the disco#info requests that the client has got; forgotten."""
    return [
        stanza.attrs['id']
        for stanza in client.take()
        if stanza.name == 'iq' and stanza.attrs['type'] == 'get' and stanza.children[0].ns == ns.DISCO_INFO
    ]


def answer(client: Client, id: str, inner: str = EXODUS) -> None:
    client.send(f"<iq type='result' id='{id}' to='{DOMAIN}'><query xmlns='{ns.DISCO_INFO}'>{inner}</query></iq>")
    client.node.site.quiet()


def come(site: Site, user: str, resource: str = 'r', ver: str = VER) -> Client:
    client = site.c2s(f'c2s-{user}-{resource}').start(user, resource)
    client.send(presence(ver))
    site.settle()
    return client


def features(site: Site, client: Client) -> frozenset[str] | None:
    """What the server believes."""
    (session,) = [one for one in site.sessions.peek(client.owner) if one.jid == client.jid]
    told = site.sm.modules.by_name['caps'].told_by(session)
    return told.features if told is not None else None


MUC = 'http://jabber.org/protocol/muc'


def test_a_client_is_asked_once_for_all_that_say_the_same() -> None:
    """The request names node and hash; then it is known for all of that hash, also for those to come."""
    site = Site()
    romeo, juliet = come(site, 'romeo'), come(site, 'juliet')
    assert f"<query xmlns='{ns.DISCO_INFO}' node='n#{VER}'/>" in ''.join(romeo.xml())
    (id,) = questions(romeo)
    assert questions(juliet) == []
    assert features(site, romeo) is None
    answer(romeo, id)
    for client in (romeo, juliet, come(site, 'nurse')):
        known = features(site, client)
        assert known is not None and MUC in known
        assert questions(client) == []


def test_what_the_hash_does_not_prove_is_not_believed() -> None:
    """Of anybody; the next client that says the same is asked, the liar is not asked again."""
    site = Site()
    liar = come(site, 'romeo')
    (id,) = questions(liar)
    answer(liar, id, EXODUS.replace(MUC, 'urn:evil'))
    assert features(site, liar) is None
    liar.send(presence())
    site.quiet()
    assert questions(liar) == []
    juliet = come(site, 'juliet')
    (id,) = questions(juliet)
    answer(juliet, id)
    assert MUC in (features(site, juliet) or ())


def test_answers_count_from_whom_was_asked_alone() -> None:
    """With the very id; errors and broken answers are none."""
    site = Site()
    romeo, juliet = come(site, 'romeo'), come(site, 'juliet')
    (id,) = questions(romeo)
    answer(juliet, id)
    answer(romeo, 'another')
    assert features(site, romeo) is None
    answer(romeo, id)
    assert features(site, romeo) is not None
    answer(romeo, id, EXODUS.replace(MUC, 'urn:evil'))
    assert 'urn:evil' not in (features(site, romeo) or ())
    for inner in ('', '<identity/>', "<x xmlns='jabber:x:data'/>"):
        other = come(site, 'nurse', 'r', 'another' + str(len(inner)))
        (id,) = questions(other)
        answer(other, id, inner)
        assert features(site, other) is None
        other.leave()
        site.quiet()
    other = come(site, 'tybalt', 'r', 'error')
    (id,) = questions(other)
    other.send(f"<iq type='error' id='{id}' to='{DOMAIN}'><error type='cancel'/></iq>")
    site.quiet()
    assert features(site, other) is None and len(site.sm.questions) == 0


def test_what_has_forms_is_believed_of_its_sender_alone_while_it_is_there() -> None:
    site = Site()
    romeo = come(site, 'romeo', ver=PSI_VER)
    (id,) = questions(romeo)
    answer(romeo, id, PSI)
    assert MUC in (features(site, romeo) or ())
    juliet = come(site, 'juliet', ver=PSI_VER)
    assert features(site, juliet) is None
    assert len(questions(juliet)) == 1
    romeo.leave()
    site.quiet()
    assert all('romeo' not in key[2] for key in site.sm.modules.by_name['caps']._known)


def test_who_does_not_answer_is_asked_again_with_the_next_presence() -> None:
    site = Site()
    romeo = come(site, 'romeo')
    assert len(questions(romeo)) == 1
    site.advance(SECONDS + 1)
    assert len(site.sm.questions) == 0
    romeo.send(presence())
    site.settle()
    assert len(questions(romeo)) == 1
    romeo.leave()
    site.quiet()
    site.advance(SECONDS + 1)
    assert len(site.sm.questions) == 0


def test_only_so_much_is_remembered() -> None:
    """What was used last is forgotten last."""
    site = Site(modules={'modules.caps': values('caps', cache=10)})
    romeo = come(site, 'romeo')
    (id,) = questions(romeo)
    answer(romeo, id)
    known = site.sm.modules.by_name['caps']._known
    for number in range(30):
        romeo.send(presence(f'no-{number}'))
        site.settle()
        (id,) = questions(romeo)
        answer(romeo, id)
        romeo.send(presence())
        site.quiet()
        assert len(known) <= 10
    assert features(site, romeo) is not None


def test_the_servers_own_hash_is_told_to_c2s_and_is_right() -> None:
    """It is of the very answer that the node gets; with other options it is another, and the old node is gone."""
    site = Site()
    romeo = site.c2s().client('romeo')
    assert romeo.answer is not None
    ver = romeo.answer.attrs['caps']
    question = INFO.replace('/>', f" node='{NODE}#{ver}'/>")
    assert f"node='{NODE}#{ver}'" in ask(romeo, question, DOMAIN)
    (stanza,) = romeo.stanzas
    query = next(stanza.element.elements())
    found = [element.getAttribute('var') for element in query.elements(ns.DISCO_INFO, 'feature')]
    assert len(set(found)) == len(found)
    assert verification([('server', 'im', '', '')], found, (), 'sha-1') == ver
    site.sm.modules.by_name['contacts'].values.abuse = ['mailto:abuse@example.net']
    site.advance(11)
    juliet = site.c2s('c2s-2').client('juliet')
    assert juliet.answer is not None
    new = juliet.answer.attrs['caps']
    assert new != ver
    assert 'item-not-found' in ask(romeo, question, DOMAIN)
    ask(romeo, INFO.replace('/>', f" node='{NODE}#{new}'/>"), DOMAIN)
    query = next(romeo.stanzas[0].element.elements())
    found = [element.getAttribute('var') for element in query.elements(ns.DISCO_INFO, 'feature')]
    told = [parse(element) for element in query.elements(ns.DATA_FORMS, 'x')]
    assert verification([('server', 'im', '', '')], found, told, 'sha-1') == new


def test_without_disco_or_the_module_no_hash_is_told() -> None:
    for name in ('disco', 'caps'):
        site = Site(modules={f'modules.{name}': values(name, enabled=False)})
        romeo = site.c2s().client('romeo')
        assert romeo.answer is not None and 'caps' not in romeo.answer.attrs
