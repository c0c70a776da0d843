"""What a link must have before it carries anything: a secret, and TLS beyond this machine."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

from OpenSSL import SSL
from twisted.internet import ssl

from jabberd_tx.base.options import ConfigError

SHORTEST_SECRET = 16


def is_loopback(host: str) -> bool:
    """Whether what goes there stays on this machine."""
    if host == 'localhost':
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


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
        roots = ssl.trustRootFromCertificates(_certificates(options.tls_authority))
    except (OSError, SSL.Error, ValueError) as error:
        raise ConfigError(f'{section}.tls_authority: {_what(error)}') from None
    return ssl.optionsForClientTLS(host, roots, extraCertificateOptions={'raiseMinimumTo': ssl.TLSVersion.TLSv1_2})


def _certificates(path: str) -> list[ssl.Certificate]:
    """All certificates of a PEM file."""
    begin, end = b'-----BEGIN CERTIFICATE-----', b'-----END CERTIFICATE-----'
    pieces = Path(path).read_bytes().split(begin)[1:]
    found = [ssl.Certificate.loadPEM(begin + piece.partition(end)[0] + end) for piece in pieces]
    if not found:
        raise ValueError(f'{path} has no certificate')
    return found


def _private(chain_path: str, key_path: str) -> dict[str, Any]:
    chain = _certificates(chain_path)
    key = ssl.KeyPair.load(Path(key_path).read_bytes(), 1)
    return {
        'privateKey': key.original,
        'certificate': chain[0].original,
        'extraCertChain': [certificate.original for certificate in chain[1:]],
    }


def _what(error: Exception) -> str:
    if isinstance(error, OSError):
        return f'{error.filename}: {error.strerror}'
    return str(error) if isinstance(error, ValueError) else 'expected PEM files that belong together'
