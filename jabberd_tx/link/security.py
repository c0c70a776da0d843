"""What a link must have before it carries anything: a secret, and TLS beyond this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from OpenSSL import SSL, crypto
from twisted.internet import ssl

from jabberd_tx.base.addresses import is_loopback
from jabberd_tx.base.options import ConfigError

SHORTEST_SECRET = 16


def check_secret(options: Any) -> None:
    """ConfigError if there is none worth the name."""
    if len(options.secret) < SHORTEST_SECRET:
        raise ConfigError(f'link.secret: expected {SHORTEST_SECRET} or more characters, the same for all processes')


def listening_tls(options: Any, host: str) -> Any:
    """What startTLS takes at a router's end of a link; None for plain links.  ConfigError when that may not be."""
    if not options.tls_certificate:
        if not (is_loopback(host) or options.insecure):
            raise ConfigError(
                f'link.tls_certificate: expected a certificate to listen on {host or "all addresses"} '
                '(or link.insecure = true)'
            )
        return None
    try:
        chain = ssl.CertificateOptions(
            **_private(options.tls_certificate, options.tls_key or options.tls_certificate),
            raiseMinimumTo=ssl.TLSVersion.TLSv1_2,
        )
        chain.getContext()
        return chain
    except (OSError, SSL.Error, ValueError) as error:
        raise ConfigError(f'link.tls_certificate, link.tls_key: {_what(error)}') from None


def connecting_tls(options: Any, host: str, section: str = 'link') -> Any:
    """What startTLS takes at a component's end; None for plain links.  ConfigError when that may not be.

    options  with `tls_authority` and `insecure`; `section`: where they stand
    """
    if not options.tls_authority:
        if not (is_loopback(host) or options.insecure):
            raise ConfigError(
                f'{section}.tls_authority: expected the certificate of an authority to connect to {host} '
                f'(or {section}.insecure = true)'
            )
        return None
    try:
        found = [ssl.Certificate(crypto.X509.from_cryptography(one)) for one in _certificates(options.tls_authority)]
        roots = ssl.trustRootFromCertificates(found)
    except (OSError, SSL.Error, ValueError) as error:
        raise ConfigError(f'{section}.tls_authority: {_what(error)}') from None
    return ssl.optionsForClientTLS(host, roots, extraCertificateOptions={'raiseMinimumTo': ssl.TLSVersion.TLSv1_2})


def _certificates(path: str) -> list[x509.Certificate]:
    """All certificates of a PEM file."""
    data = Path(path).read_bytes()
    if b'-----BEGIN CERTIFICATE-----' not in data:
        raise ValueError(f'{path} has no certificate')
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError:
        raise ValueError(f'{path}: expected certificates in PEM') from None


def _private(chain_path: str, key_path: str) -> dict[str, Any]:
    certificate, *issuers = _certificates(chain_path)
    try:
        key = serialization.load_pem_private_key(Path(key_path).read_bytes(), None)
    except (TypeError, UnsupportedAlgorithm, ValueError):
        raise ValueError(f'{key_path}: expected a private key in PEM, without a password') from None
    return {'privateKey': key, 'certificate': certificate, 'extraCertChain': issuers}


def _what(error: Exception) -> str:
    if isinstance(error, OSError):
        return f'{error.filename}: {error.strerror}'
    return str(error) if isinstance(error, ValueError) else 'expected PEM files that belong together'
