"""SCRAM's server side: the RFCs' vectors, scramp as the other end, and everything a client may get wrong."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode

import pytest
import scramp
from hypothesis import given
from hypothesis import strategies as st

from jabberd_tx.xmpp.sasl import CONDITIONS, HASHES, SaslFailure, ScramServer, Verifier, derive, saslprep
from jabberd_tx.xmpp.sasl import scram as scram_module

FAKE_KEY = b'k' * 32
PASSWORD = 'pencil'
CREDENTIALS = derive(PASSWORD, 4096)
BINDINGS = {'tls-exporter': b'e' * 32, 'tls-server-end-point': b's' * 32}
MECHANISMS = sorted(HASHES)


class Client:
    """RFC 5802 §3 from the client's side, with each part open to be spoiled."""

    def __init__(self, mechanism, header='n,,', binding=b'', name='user', password=PASSWORD, nonce='abc'):
        self.hash = HASHES[mechanism.removesuffix('-PLUS')]
        self.header, self.binding, self.password, self.nonce = header, binding, password, nonce
        self.bare = f'n={name},r={nonce}'

    def first(self):
        return (self.header + self.bare).encode()

    def final(self, challenge, nonce=None, extension=''):
        parts = dict(part.split('=', 1) for part in challenge.decode().split(','))
        assert parts['r'].startswith(self.nonce) and len(parts['r']) >= len(self.nonce) + 24
        bound = b64encode(self.header.encode() + self.binding).decode()
        before = f'c={bound},r={nonce or parts["r"]}{extension}'
        salted = hashlib.pbkdf2_hmac(
            self.hash, saslprep(self.password).encode(), b64decode(parts['s']), int(parts['i'])
        )
        client_key = hmac.digest(salted, b'Client Key', self.hash)
        said = f'{self.bare},{challenge.decode()},{before}'.encode()
        signature = hmac.digest(hashlib.new(self.hash, client_key).digest(), said, self.hash)
        proof = bytes(one ^ other for one, other in zip(client_key, signature, strict=True))
        server_key = hmac.digest(salted, b'Server Key', self.hash)
        self.expected = b'v=' + b64encode(hmac.digest(server_key, said, self.hash))
        return f'{before},p={b64encode(proof).decode()}'.encode()


def login(client, server, credentials=CREDENTIALS, **spoiled):
    """Run the exchange; what the server said at the end."""
    server.first(client.first())
    return server.final(client.final(server.challenge(credentials, FAKE_KEY), **spoiled))


def refused(condition, text=''):
    """The SaslFailure that is expected."""
    return pytest.raises(SaslFailure, match=f"'{condition}'.*{text}")


# ---- the right way


@pytest.mark.parametrize(
    ('mechanism', 'client_nonce', 'server_nonce', 'salt', 'proof', 'signature'),
    [
        # RFC 5802 §5 and RFC 7677 §3: user "user", password "pencil", 4096 iterations.
        (
            'SCRAM-SHA-1',
            'fyko+d2lbbFgONRv9qkxdawL',
            '3rfcNHYJY1ZVvWVs7j',
            'QSXCR+Q6sek8bf92',
            'v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=',
            b'v=rmF9pqV8S7suAoZWja4dJRkFsKQ=',
        ),
        (
            'SCRAM-SHA-256',
            'rOprNGfwEbeRWgbNEkqO',
            '%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0',
            'W22ZaJ0SNY7soEsUEjb6gQ==',
            'dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=',
            b'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=',
        ),
    ],
)
def test_the_exchange_of_the_rfc(monkeypatch, mechanism, client_nonce, server_nonce, salt, proof, signature):
    """Byte for byte, with the RFC's nonce in place of a random one."""
    monkeypatch.setattr(scram_module.secrets, 'token_urlsafe', lambda size: server_nonce)
    name = HASHES[mechanism]
    salted = hashlib.pbkdf2_hmac(name, b'pencil', b64decode(salt), 4096)
    stored = hashlib.new(name, hmac.digest(salted, b'Client Key', name)).digest()
    verifier = Verifier(b64decode(salt), 4096, stored, hmac.digest(salted, b'Server Key', name))
    server = ScramServer(mechanism, {})
    assert server.first(f'n,,n=user,r={client_nonce}'.encode()) == 'user'
    nonce = client_nonce + server_nonce
    assert server.challenge({mechanism: verifier}, FAKE_KEY) == f'r={nonce},s={salt},i=4096'.encode()
    assert server.final(f'c=biws,r={nonce},p={proof}'.encode()) == signature


@pytest.mark.parametrize('mechanism', MECHANISMS)
@pytest.mark.parametrize('binding', [None, 'tls-exporter', 'tls-server-end-point'])
def test_a_login_with_each_mechanism_and_binding(mechanism, binding):
    """The signature of the server is the one that the client expects."""
    if binding:
        client = Client(mechanism, f'p={binding},,', BINDINGS[binding])
        server = ScramServer(mechanism + '-PLUS', BINDINGS)
    else:
        client, server = Client(mechanism), ScramServer(mechanism, BINDINGS)
    assert login(client, server) == client.expected


@pytest.mark.parametrize('mechanism', MECHANISMS)
@pytest.mark.parametrize('bound', [False, True])
def test_scramp_logs_in(mechanism, bound):
    """Another implementation, with tls-server-end-point where it can; its own verifiers equal ours."""
    verifier = CREDENTIALS[mechanism]
    salt, stored, key, count = scramp.ScramMechanism(mechanism).make_auth_info(PASSWORD, 4096, verifier.salt)
    assert (salt, count, stored, key) == tuple(verifier)
    binding = ('tls-server-end-point', BINDINGS['tls-server-end-point']) if bound else None
    name = mechanism + ('-PLUS' if bound else '')
    client = scramp.ScramClient([name], 'us=er,é', PASSWORD, channel_binding=binding)
    server = ScramServer(name, BINDINGS if bound else {})
    assert server.first(client.get_client_first().encode()) == 'us=er,é'
    client.set_server_first(server.challenge(CREDENTIALS, FAKE_KEY).decode())
    client.set_server_final(server.final(client.get_client_final().encode()).decode())


@pytest.mark.parametrize('mechanism', MECHANISMS)
def test_scramp_as_the_judge_of_our_messages(mechanism):
    """The same client, a wrong password: refused."""
    client = scramp.ScramClient([mechanism], 'user', 'pen')
    server = ScramServer(mechanism, {})
    server.first(client.get_client_first().encode())
    client.set_server_first(server.challenge(CREDENTIALS, FAKE_KEY).decode())
    with refused('not-authorized'):
        server.final(client.get_client_final().encode())


@pytest.mark.parametrize(
    ('sent', 'name'),
    [
        ('user', 'user'),
        ('a=2Cb=3Dc', 'a,b=c'),
        ('a=2cb=3dc', 'a,b=c'),
        ('I\u00adX', 'IX'),
        ('\u00aa', 'a'),
        ('\u2168', 'IX'),
        ('bücher', 'bücher'),
        ('a b', 'a b'),
    ],
)
def test_a_user_name_is_unescaped_and_prepared(sent, name):
    """RFC 5802 §5.1 and the examples of RFC 4013 §3."""
    assert ScramServer('SCRAM-SHA-1', {}).first(f'n,,n={sent},r=x'.encode()) == name


def test_the_authzid_is_kept():
    """Escapes included; it must be the same again in the channel binding input of the end."""
    client = Client('SCRAM-SHA-1', 'n,a=user=2Cx@example.org,')
    server = ScramServer('SCRAM-SHA-1', {})
    assert login(client, server) == client.expected
    assert server.authzid == 'user,x@example.org'


def test_optional_extensions_are_ignored_but_signed():
    """Both in the first and in the last message."""
    client = Client('SCRAM-SHA-256')
    client.bare += ',x=1,y=two'
    assert login(client, ScramServer('SCRAM-SHA-256', {}), extension=',z=9') == client.expected


def test_each_exchange_has_its_own_nonce():
    nonces = set()
    for _ in range(50):
        server = ScramServer('SCRAM-SHA-1', {})
        server.first(b'n,,n=user,r=abc')
        nonces.add(server.challenge(CREDENTIALS, FAKE_KEY).split(b',')[0])
    assert len(nonces) == 50


# ---- wrong credentials


@pytest.mark.parametrize('mechanism', MECHANISMS)
def test_a_wrong_password_is_not_authorized(mechanism):
    with refused('not-authorized'):
        login(Client(mechanism, password='pen'), ScramServer(mechanism, {}))


@pytest.mark.parametrize('mechanism', MECHANISMS)
def test_an_unknown_user_looks_like_a_known_one(mechanism):
    """Its challenge has the shape of a real one, is the same each time, and no password opens it."""

    def challenge(name='nobody', credentials=None, key=FAKE_KEY, **options):
        server = ScramServer(mechanism, {})
        server.first(f'n,,n={name},r=abc'.encode())
        parts = server.challenge(credentials, key, **options).decode().split(',')
        assert [part[:2] for part in parts] == ['r=', 's=', 'i=']
        return parts[1:]

    real = challenge('user', CREDENTIALS, iterations=4096)
    fake = challenge(iterations=4096)
    assert [len(part) for part in real] == [len(part) for part in fake]
    assert fake[1] == real[1]
    assert challenge(iterations=4096) == fake
    assert challenge('NOBODY', iterations=4096) == fake
    others = [challenge('no1'), challenge(key=b'other'), challenge(domain='example.org')]
    assert len({tuple(other[:1]) for other in [*others, fake]}) == 4
    with refused('not-authorized'):
        login(Client(mechanism), ScramServer(mechanism, {}), None)


def test_the_salts_of_an_unknown_user_differ_between_mechanisms():
    """As those of an account do."""
    salts = set()
    for mechanism in MECHANISMS:
        server = ScramServer(mechanism, {})
        server.first(b'n,,n=nobody,r=abc')
        salts.add(server.challenge(None, FAKE_KEY).split(b',')[1])
    assert len(salts) == 3


def test_an_account_without_this_hash_is_like_no_account():
    """Its credentials were imported without it: not-authorized at the end, nothing sooner."""
    only = {'SCRAM-SHA-1': CREDENTIALS['SCRAM-SHA-1']}
    with refused('not-authorized'):
        login(Client('SCRAM-SHA-256'), ScramServer('SCRAM-SHA-256', {}), only)


def test_the_keys_of_a_fake_verifier_open_nothing():
    """A client key whose hash would be the fake stored key cannot be faked by sending the signature back."""
    server = ScramServer('SCRAM-SHA-1', {})
    server.first(b'n,,n=nobody,r=abc')
    said = server.challenge(None, FAKE_KEY).decode()
    nonce = said.split(',')[0]
    before = f'c=biws,{nonce}'
    signature = hmac.digest(bytes(20), f'n=nobody,r=abc,{said},{before}'.encode(), 'sha1')
    with refused('not-authorized'):
        server.final(f'{before},p={b64encode(signature).decode()}'.encode())


# ---- channel binding


def test_binding_data_of_another_connection_is_refused():
    """Somebody in the middle has two TLS connections with different data."""
    client = Client('SCRAM-SHA-1', 'p=tls-exporter,,', b'x' * 32)
    with refused('not-authorized'):
        login(client, ScramServer('SCRAM-SHA-1-PLUS', BINDINGS))


def test_a_client_that_was_not_shown_plus_is_told():
    """It says y: 'I can, but you cannot' (RFC 5802 §6), though it was offered: a downgrade."""
    with refused('not-authorized', 'channel binding was offered'):
        ScramServer('SCRAM-SHA-1', BINDINGS).first(Client('SCRAM-SHA-1', 'y,,').first())


def test_y_is_right_where_no_plus_was_offered():
    client = Client('SCRAM-SHA-1', 'y,,')
    assert login(client, ScramServer('SCRAM-SHA-1', {})) == client.expected


def test_a_header_that_changes_between_the_messages_is_refused():
    """c= repeats the header of the first message, so that y cannot be turned into n on the way."""
    client, server = Client('SCRAM-SHA-1', 'n,,'), ScramServer('SCRAM-SHA-1', {})
    server.first(client.first())
    client.header = 'y,,'
    with refused('not-authorized'):
        server.final(client.final(server.challenge(CREDENTIALS, FAKE_KEY)))


@pytest.mark.parametrize(
    ('mechanism', 'header', 'condition', 'text'),
    [
        ('SCRAM-SHA-1-PLUS', 'p=tls-unique,,', 'not-authorized', 'unsupported channel binding type'),
        ('SCRAM-SHA-1-PLUS', 'n,,', 'malformed-request', 'without channel binding'),
        ('SCRAM-SHA-1-PLUS', 'y,,', 'malformed-request', 'without channel binding'),
        ('SCRAM-SHA-1', 'p=tls-exporter,,', 'malformed-request', 'without a -PLUS'),
    ],
)
def test_a_binding_flag_that_does_not_go_with_the_mechanism(mechanism, header, condition, text):
    with refused(condition, text):
        ScramServer(mechanism, BINDINGS).first(Client(mechanism, header).first())


@pytest.mark.parametrize(
    ('mechanism', 'bindings'),
    [
        ('SCRAM-SHA-1-PLUS', {}),
        ('SCRAM-MD5', {}),
        ('PLAIN', {}),
        ('', {}),
        ('-PLUS', BINDINGS),
        ('SCRAM-SHA-1-PLUS-PLUS', BINDINGS),
    ],
)
def test_a_mechanism_that_was_not_offered_is_invalid(mechanism, bindings):
    with refused('invalid-mechanism'):
        ScramServer(mechanism, bindings)


# ---- broken messages


@pytest.mark.parametrize(
    'message',
    [
        b'',
        b'n',
        b'n,,',
        b'n,n=user,r=x',
        b'n,,n=user',
        b'n,,r=x,n=user',
        b'n,,n=,r=x',
        b'n,,n=user,r=',
        b'q,,n=user,r=x',
        b'n,,n=user,r=a b',
        b'n,,n=user,r=\xc3\xa9',
        b'n,,n=us=er,r=x',
        b'n,,n=us=2,r=x',
        b'n,,n=us=2Der,r=x',
        b'n,,n=\xff,r=x',
        b'n,,n=us\0er,r=x',
        b'n,,n=\xc2\xad,r=x',
        b'n,,n=\x07,r=x',
        b'n,a=,n=user,r=x',
        b'n,a=x=,n=user,r=x',
        b'n,b=x,n=user,r=x',
        b'n,,n=user,r=x,',
        b'n,,n=user,r=x,y',
        b'n,,n=user,r=x,y=',
        b'p,,n=user,r=x',
        b'p=,,n=user,r=x',
        b'n,,m=ext,n=user,r=x',
        b'n,,n=user,r=x,m=ext',
        b'n,,n=user,r=x\n',
        b'N,,n=user,r=x',
    ],
)
def test_a_broken_first_message_is_malformed(message):
    """Mandatory extensions (m=), which none is known of, included."""
    with refused('malformed-request'):
        ScramServer('SCRAM-SHA-1', {}).first(message)


def test_a_broken_last_message_is_malformed():
    """Without a part, with the parts in another order, with bad base64, or with a mandatory extension."""
    for message in (
        b'',
        b'c=biws',
        b'c=biws,r=%s',
        b'r=%s,c=biws,p=AAAA',
        b'c=biws,p=AAAA,r=%s',
        b'c=biws,r=%s,p=A',
        b'c=b,r=%s,p=AAAA',
        b'c=biws,r=%s,p=',
        b'c=biws,r=%s,p=AAAA,x=1',
        b'c=biws,r=%s,m=x,p=AAAA',
        b'c=biws,r=%s,p=AAAA\n',
        b'c=biws,r=%s,\xff,p=A',
        b'c=,r=%s,p=AAAA',
        b'c=biws,r=%s,p=AA==AA==',
        b'c=biws,r=%s,p=====',
        b'c=biws=,r=%s,p=AAAA',
    ):
        server = ScramServer('SCRAM-SHA-1', {})
        server.first(b'n,,n=user,r=abc')
        nonce = server.challenge(CREDENTIALS, FAKE_KEY).split(b',')[0][2:]
        with refused('malformed-request'):
            server.final(message.replace(b'%s', nonce))


def test_a_last_message_with_another_nonce_is_refused():
    """Its proof is right for what it says: a replay of an older exchange."""
    for nonce in ('abc', 'abcd', 'x' * 40):
        with refused('not-authorized'):
            login(Client('SCRAM-SHA-1'), ScramServer('SCRAM-SHA-1', {}), nonce=nonce)


def test_a_proof_of_another_length_is_refused():
    server = ScramServer('SCRAM-SHA-1', {})
    server.first(b'n,,n=user,r=abc')
    nonce = server.challenge(CREDENTIALS, FAKE_KEY).split(b',')[0].decode()
    for size in (1, 19, 21, 64):
        with refused('not-authorized'):
            server.final(f'c=biws,{nonce},p={b64encode(bytes(size)).decode()}'.encode())


# ---- fuzz

PIECES = st.sampled_from(
    [
        b'n',
        b'y',
        b'p=',
        b'tls-exporter',
        b',',
        b'a=',
        b'n=',
        b'r=',
        b'm=',
        b'c=',
        b'p=',
        b'=2C',
        b'=3D',
        b'=',
        b'user',
        b'abc',
        b'biws',
        b'\0',
        b'\xff',
        'é'.encode(),
        b'AAAA',
        b'\n',
    ]
)
MESSAGES = st.one_of(st.binary(max_size=60), st.lists(PIECES, max_size=14).map(b''.join))
NAMES = st.text(st.characters(exclude_categories=('Cs',), exclude_characters='\0'), min_size=1, max_size=20)


@pytest.mark.fuzz
@given(MESSAGES, st.sampled_from(['SCRAM-SHA-1', 'SCRAM-SHA-256-PLUS']), st.booleans())
def test_any_first_message_is_read_or_refused(message, mechanism, bound):
    """Nothing but SaslFailure with a condition of RFC 6120 comes out, and a name is never empty."""
    try:
        server = ScramServer(mechanism, BINDINGS if bound else {})
        assert server.first(message)
    except SaslFailure as failure:
        assert failure.condition in CONDITIONS


@pytest.mark.fuzz
@given(MESSAGES, st.booleans(), st.booleans())
def test_no_message_but_the_right_one_gets_in(message, with_nonce, with_header):
    """Random last messages, and some that begin well: always SaslFailure."""
    server = ScramServer('SCRAM-SHA-1', {})
    server.first(b'n,,n=user,r=abc')
    nonce = server.challenge(CREDENTIALS, FAKE_KEY).split(b',')[0]
    message = (b'c=biws,' if with_header else b'') + (nonce + b',' if with_nonce else b'') + message
    with pytest.raises(SaslFailure) as caught:
        server.final(message)
    assert caught.value.condition in ('malformed-request', 'not-authorized')


@pytest.mark.fuzz
@given(NAMES)
def test_any_user_name_survives_escaping(name):
    """What a client escapes comes out as it was, but for the preparation."""
    escaped = name.replace('=', '=3D').replace(',', '=2C')
    try:
        prepared = saslprep(name, stored=False)
    except ValueError:
        prepared = ''
    server = ScramServer('SCRAM-SHA-1', {})
    if prepared:
        assert server.first(f'n,,n={escaped},r=x'.encode()) == prepared
    else:
        with refused('malformed-request'):
            server.first(f'n,,n={escaped},r=x'.encode())
