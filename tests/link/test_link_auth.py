"""Who does not know the secret gets no further, however cleverly bytes are sent back and forth."""

from __future__ import annotations

import pytest

from jabberd_tx.link import auth
from jabberd_tx.link.auth import CONNECTING, LISTENING, Handshake, proof
from jabberd_tx.link.decoding import FrameError
from jabberd_tx.link.frames import Auth, Drain, Hello

SECRET = 'a secret of the whole site'


def sides(secret: str = SECRET, other: str = SECRET) -> tuple[Handshake, Handshake]:
    return Handshake(True, secret, 'sm-a1', b'a' * 16), Handshake(False, other, 'router-1', b'r' * 16)


def refusal(handshake: Handshake, frame) -> str:
    with pytest.raises(FrameError) as caught:
        handshake.take(frame)
    assert not handshake.done
    return caught.value.condition


def test_both_sides_prove_themselves_in_four_frames():
    connecting, listening = sides()
    assert listening.begin() == []
    (hello,) = connecting.begin()
    (answer,) = listening.take(hello)
    (mac,) = connecting.take(answer)
    assert not listening.done and not connecting.done
    (answer,) = listening.take(mac)
    assert listening.done and not connecting.done
    assert connecting.take(answer) == []
    assert connecting.done
    assert listening.peer.node == 'sm-a1' and listening.peer.incarnation == b'a' * 16
    assert connecting.peer.node == 'router-1'


def test_another_secret_is_refused_by_the_listening_side_which_shows_no_proof():
    connecting, listening = sides(other='another secret altogether')
    (answer,) = listening.take(connecting.begin()[0])
    (mac,) = connecting.take(answer)
    assert refusal(listening, mac) == 'not-authorized'


def test_a_false_router_is_refused_by_the_connecting_side():
    connecting, _ = sides()
    connecting.take(Hello(1, 'router-1', b'r' * 16, bytes(32), []))
    assert refusal(connecting, Auth(bytes(32))) == 'not-authorized'


def test_the_connecting_sides_own_proof_is_not_taken_from_a_router_that_sends_it_back():
    connecting, _ = sides()
    own = connecting.begin()[0]
    (mac,) = connecting.take(Hello(1, 'router-1', b'r' * 16, own.nonce, []))
    assert refusal(connecting, mac) == 'not-authorized'


def test_a_hello_that_is_sent_back_is_refused_for_its_name():
    connecting, listening = sides()
    assert refusal(connecting, connecting.begin()[0]) == 'conflict'
    (answer,) = listening.take(connecting.begin()[0])
    assert refusal(Handshake(False, SECRET, answer.node, b'x' * 16), answer) == 'conflict'


def test_a_proof_got_from_one_router_is_of_no_use_with_another():
    """Somebody between two routers: takes a component's proof for one of them to the other."""
    connecting, listening = sides()
    other = Handshake(False, SECRET, 'router-2', b's' * 16)
    hello = connecting.begin()[0]
    (from_other,) = other.take(hello)
    (mac,) = connecting.take(Hello(1, 'router-1', b'r' * 16, from_other.nonce, []))
    assert refusal(other, mac) == 'not-authorized'


def test_a_recorded_exchange_cannot_be_played_again():
    connecting, listening = sides()
    hello = connecting.begin()[0]
    (mac,) = connecting.take(listening.take(hello)[0])
    again = Handshake(False, SECRET, 'router-1', b'r' * 16)
    again.take(hello)
    assert refusal(again, mac) == 'not-authorized'


def test_names_and_nonces_cannot_be_shifted_into_one_another():
    one = Hello(1, 'ab', b'i' * 16, b'n' * 32, [])
    assert proof(b's', CONNECTING, one, one) != proof(
        b's', CONNECTING, one._replace(nonce=b'n' * 31), one._replace(nonce=b'n' * 33)
    )
    assert proof(b's', CONNECTING, one, one._replace(node='c')) != proof(
        b's', CONNECTING, one._replace(node='a'), one._replace(node='bc')
    )
    assert proof(b's', CONNECTING, one, one) != proof(b's', LISTENING, one, one)


@pytest.mark.parametrize('connecting', [True, False])
def test_frames_out_of_turn_are_refused(connecting: bool):
    def fresh() -> Handshake:
        return Handshake(connecting, SECRET, 'sm-a1', b'a' * 16)

    hello = Hello(1, 'router-1', b'r' * 16, bytes(32), [])
    assert refusal(fresh(), Auth(bytes(32))) == 'unexpected-frame'
    assert refusal(fresh(), Drain('sm-a1')) == 'unexpected-frame'
    again = fresh()
    again.take(hello)
    assert refusal(again, hello) == 'unexpected-frame'


def test_every_connection_has_a_nonce_of_its_own():
    assert len({sides()[0].begin()[0].nonce for _ in range(50)}) == 50


def test_proofs_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch):
    compared = []

    def compare(one, other):
        compared.append((one, other))
        return False

    monkeypatch.setattr(auth.hmac, 'compare_digest', compare)
    connecting, listening = sides()
    (mac,) = connecting.take(listening.take(connecting.begin()[0])[0])
    assert refusal(listening, mac) == 'not-authorized'
    assert compared == [(mac.mac, mac.mac)]
