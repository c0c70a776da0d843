"""Certificates made for a first start, and what `check` learns of one."""

from __future__ import annotations

import ssl
import stat
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from jabberd_tx.base.certificates import CertificateError, covers, inspect, self_signed, to_ascii

NOW = datetime.now(UTC)


@pytest.fixture
def files(tmp_path):
    return tmp_path / 'chain.pem', tmp_path / 'key.pem'


def test_a_self_signed_certificate_has_its_names_and_a_private_key_file(files):
    """The key can be read by its owner alone, belongs to the certificate, and all domains are named."""
    self_signed(['example.org', 'bücher.example', '127.0.0.1', '*.example.org'], *files)
    facts = inspect(*files)
    assert facts.names == ('example.org', 'xn--bcher-kva.example', '*.example.org', '127.0.0.1')
    assert facts.key_matches and facts.in_order
    assert facts.not_before < NOW < facts.not_after
    assert stat.S_IMODE(files[1].stat().st_mode) == 0o600
    assert facts.problems(['example.org', 'bücher.example', 'chat.example.org'], NOW) == []


def test_a_self_signed_certificate_is_what_the_rfc_wants_of_one(files):
    """RFC 6120 §13.7.1.1: no authority, with a subject, for signatures, by SHA-256; DNS-IDs, as §13.7.1.2.1 says."""
    self_signed(['example.org', 'chat.example.org'], *files)
    certificate = x509.load_pem_x509_certificate(files[0].read_bytes())
    of = certificate.extensions.get_extension_for_class
    assert not of(x509.BasicConstraints).value.ca
    assert of(x509.KeyUsage).value.digital_signature
    assert certificate.subject.rdns and certificate.signature_hash_algorithm.name == 'sha256'
    names = of(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    assert names == ['example.org', 'chat.example.org']


def test_a_client_that_trusts_the_certificate_verifies_it(files):
    """The standard library's strict checks accept the extensions."""
    self_signed(['localhost'], *files)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*files)
    client = ssl.create_default_context(cafile=str(files[0]))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    ins, outs = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(ins, outs, server_hostname='localhost')
    other = server.wrap_bio(outs, ins, server_side=True)
    for _ in range(3):
        for side in (one, other):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert one.getpeercert()['subjectAltName'] == (('DNS', 'localhost'),)


def test_an_existing_file_is_never_overwritten(files):
    """Neither the key nor the certificate; and no key is left without its certificate."""
    self_signed(['localhost'], *files)
    before = files[1].read_bytes()
    with pytest.raises(FileExistsError):
        self_signed(['localhost'], *files)
    assert files[1].read_bytes() == before
    files[1].unlink()
    with pytest.raises(FileExistsError):
        self_signed(['localhost'], *files)
    assert not files[1].exists()


def test_a_key_of_another_certificate_is_noticed(files, tmp_path):
    self_signed(['localhost'], *files)
    self_signed(['localhost'], tmp_path / 'other.pem', tmp_path / 'other-key.pem')
    facts = inspect(files[0], tmp_path / 'other-key.pem')
    assert facts.problems(['localhost'], NOW) == ['the private key is not that of the certificate']


def test_certificates_that_are_not_each_followed_by_their_issuer_are_noticed(files, tmp_path):
    self_signed(['a.example'], *files)
    self_signed(['b.example'], tmp_path / 'b.pem', tmp_path / 'b-key.pem')
    files[0].write_bytes(files[0].read_bytes() + (tmp_path / 'b.pem').read_bytes())
    assert 'out of order' in inspect(*files).problems(['a.example'], NOW)[0]


@pytest.mark.parametrize(('days', 'word'), [(-1, 'not valid before'), (3640, 'expires soon'), (3651, 'expired on')])
def test_dates_are_told(files, days, word):
    """Before, near and after the dates of the certificate."""
    self_signed(['localhost'], *files)
    (problem,) = inspect(*files).problems(['localhost'], NOW + timedelta(days=days))
    assert word in problem


def test_a_domain_that_is_not_named_is_told(files):
    self_signed(['localhost'], *files)
    assert inspect(*files).problems(['localhost', 'example.org'], NOW) == ['does not name example.org']


def test_files_that_are_no_certificate_or_key_say_which(files):
    self_signed(['localhost'], *files)
    with pytest.raises(CertificateError, match=r'chain\.pem: expected a private key'):
        inspect(files[0], files[0])
    with pytest.raises(CertificateError, match=r'key\.pem: expected certificates'):
        inspect(files[1], files[1])
    with pytest.raises(OSError):
        inspect(files[0], files[0].with_name('absent'))


@pytest.mark.parametrize(('names', 'domain', 'good'), [
    (('example.org',), 'example.org', True),
    (('example.org',), 'EXAMPLE.org.', True),
    (('*.example.org',), 'chat.example.org', True),
    (('*.example.org',), 'a.b.example.org', False),
    (('*.example.org',), 'example.org', False),
    (('*.org',), 'org', False),
    (('xn--bcher-kva.example',), 'bücher.example', True),
    (('localhost',), 'localhost', True),
    (('127.0.0.1',), '127.0.0.1', True),
    ((), 'example.org', False),
])
def test_a_name_stands_for_a_domain(names, domain, good):
    """The name itself, or a wildcard for exactly its first label."""
    assert covers(names, domain) is good


def test_a_name_that_cannot_be_written_in_ascii_is_refused():
    with pytest.raises(CertificateError):
        to_ascii('a\u200bb\u2028.example')
