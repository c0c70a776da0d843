"""Certificates on disk: make a self-signed one for a first start, and say what is the matter with one."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import idna
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SOON = timedelta(days=21)


class CertificateError(ValueError):
    """A file that holds no usable certificate or key; the text names the file and what was expected."""


class CertificateFacts(NamedTuple):
    """What `inspect` finds.

    names        DNS names and IP addresses of the subjectAltName, in lower case, IDNs as A-labels
    key_matches  the private key belongs to the first certificate of the chain
    in_order     each certificate of the chain is followed by its issuer's
    """

    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    key_matches: bool
    in_order: bool = True

    def problems(self, domains: Iterable[str], now: datetime) -> list[str]:
        """A sentence for each thing that is, or soon will be, wrong; `now` is timezone-aware."""
        found = [] if self.key_matches else ['the private key is not that of the certificate']
        if not self.in_order:
            found.append('the chain is out of order: each certificate must be followed by that of its issuer')
        if now < self.not_before:
            found.append(f'not valid before {self.not_before:%Y-%m-%d %H:%M} UTC')
        if now > self.not_after:
            found.append(f'expired on {self.not_after:%Y-%m-%d}')
        elif self.not_after - now < SOON:
            found.append(f'expires soon, on {self.not_after:%Y-%m-%d}')
        found.extend(f'does not name {domain}' for domain in domains if not covers(self.names, domain))
        return found


def covers(names: Iterable[str], domain: str) -> bool:
    """Whether a certificate with these names stands for a domain: the name itself, or `*.` for its first label.

    RFC 6125 §6.4.3; the domain may be given in Unicode.
    """
    ascii_name = to_ascii(domain)
    _, dot, parent = ascii_name.partition('.')
    wildcard = '*.' + parent if dot else ascii_name
    return any(name in (ascii_name, wildcard) for name in names)


def to_ascii(domain: str) -> str:
    """A domain or IP literal as certificates and SNI carry it: A-labels, lower case, no trailing dot."""
    name = domain.rstrip('.').strip('[]').lower()
    if name.isascii():
        return name
    prefix = '*.' if name.startswith('*.') else ''
    try:
        return prefix + idna.encode(name.removeprefix('*.'), uts46=True).decode('ascii')
    except idna.IDNAError as error:
        raise CertificateError(f'{domain}: not a domain name ({error})') from error


def self_signed(domains: Sequence[str], chain_path: str | Path, key_path: str | Path, days: int = 3650) -> None:
    """Make a P-256 key (a new file, mode 0600) and a certificate for the domains, signed with it.

    Raises FileExistsError rather than write over a key or certificate that is there already.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate(domains, key, days)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    if Path(chain_path).exists():
        raise FileExistsError(f'{chain_path} exists already')
    _write_new(key_path, private, 0o600)
    try:
        _write_new(chain_path, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    except OSError:
        Path(key_path).unlink()
        raise


def _certificate(domains: Sequence[str], key: ec.EllipticCurvePrivateKey, days: int) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, to_ascii(domains[0])[:64])])
    now = datetime.now(UTC)
    public = key.public_key()
    usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    # An hour back: for clients whose clock is behind.
    builder = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=public,
        serial_number=x509.random_serial_number(),
        not_valid_before=now - timedelta(hours=1),
        not_valid_after=now + timedelta(days=days),
    )
    for extension, critical in (
        (x509.SubjectAlternativeName([_general_name(domain) for domain in domains]), False),
        (x509.BasicConstraints(False, None), True),
        (usage, True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), False),
        (x509.SubjectKeyIdentifier.from_public_key(public), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(public), False),
    ):
        builder = builder.add_extension(extension, critical)
    return builder.sign(key, hashes.SHA256())


def _general_name(domain: str) -> x509.GeneralName:
    name = to_ascii(domain)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write_new(path: str | Path, data: bytes, mode: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(fd, 'wb') as file:
        os.fchmod(fd, mode)  # whatever the umask
        file.write(data)


def inspect(chain_path: str | Path, key_path: str | Path) -> CertificateFacts:
    """Read a PEM chain (the server's certificate first) and its key.  Raises OSError, CertificateError."""
    try:
        chain = x509.load_pem_x509_certificates(Path(chain_path).read_bytes())
    except ValueError as error:
        raise CertificateError(f'{chain_path}: expected certificates in PEM, that of the server first') from error
    try:
        key = serialization.load_pem_private_key(Path(key_path).read_bytes(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CertificateError(f'{key_path}: expected a private key in PEM, without a password') from error
    leaf = chain[0]
    return CertificateFacts(
        names=_names(leaf),
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
        key_matches=_public_bytes(key.public_key()) == _public_bytes(leaf.public_key()),
        in_order=all(one.issuer == after.subject for one, after in zip(chain, chain[1:], strict=False)),
    )


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    dns = [name.lower() for name in names.get_values_for_type(x509.DNSName)]
    return (*dns, *(str(address) for address in names.get_values_for_type(x509.IPAddress)))


def _public_bytes(key: object) -> bytes:
    encoded: bytes = key.public_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return encoded
