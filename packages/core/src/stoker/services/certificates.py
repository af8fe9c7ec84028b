# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Certificates: the server's own, self-signed where the operator gives none; and what all certificates are made of."""

from __future__ import annotations

import datetime as dt
import ipaddress
import logging
import re
import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from stoker.db.vault import write_private
from stoker.errors import ConfigurationError

_LOG = logging.getLogger(__name__)
_DAYS = 825
_RENEW_BEFORE = dt.timedelta(days=30)
_LONGEST = 253
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")


def ensure_certificate(folder: Path, hosts: Iterable[str]) -> tuple[Path, Path]:
    """A self-signed certificate and its key below ``folder``.

    They are made anew when there are none, when they do not belong together (a crash while writing), when a host is missing, or
    when the certificate ends soon; the log says so, because clients that trust its fingerprint need the new one.

    Raises:
        ConfigurationError: a host is not one that a certificate can name.
    """
    certificate, key = folder / "server.crt", folder / "server.key"
    names = {_configured(host) for host in hosts}
    if reason := _unfit(certificate, key, names):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _make(certificate, key, sorted(names | _own_name()))
        _LOG.warning("made a new certificate, because %s; its SHA-256 fingerprint is %s", reason, fingerprint(certificate))
    return certificate, key


def _configured(host: str) -> str:
    try:
        return host_name(host)
    except ValueError as error:
        raise ConfigurationError(
            f"the server's certificate cannot be for {host!r}: {error}.",
            remedy="Mend 'hosts' in the configuration (--allow-host).",
        ) from error


def _own_name() -> set[str]:
    """This machine's name: in a new certificate, but no reason for one, because containers get another at each start."""
    with suppress(ValueError):
        return {host_name(socket.gethostname())}
    return set()


def _unfit(certificate: Path, key: Path, names: set[str]) -> str:
    """Why a certificate cannot be used further; empty if it can."""
    if not (certificate.exists() and key.exists()):
        return "there was none"
    try:
        read = x509.load_pem_x509_certificate(certificate.read_bytes())
        found = serialization.load_pem_private_key(key.read_bytes(), password=None)
    except (ValueError, TypeError):
        return "the old one is damaged"
    if found.public_key() != read.public_key():
        return "the old one does not belong to its key"
    if missing := names - names_in(read):
        return f"the old one is not for {', '.join(sorted(missing))}"
    if read.not_valid_after_utc - dt.datetime.now(dt.UTC) < _RENEW_BEFORE:
        return f"the old one is valid until {read.not_valid_after_utc:%Y-%m-%d} only"
    return ""


def names_in(certificate: x509.Certificate) -> set[str]:
    """The host names and addresses that a certificate is for."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return set()
    return {str(name.value) for name in found.value}


def fingerprint(certificate: Path) -> str:
    """SHA-256 of a certificate, as people compare it: ``AB:CD:...``.

    Raises:
        ConfigurationError: the file is not a certificate.
    """
    try:
        read = x509.load_pem_x509_certificate(certificate.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"certificate {certificate} cannot be read: {error}.", remedy="Give a certificate in PEM."
        ) from error
    return read.fingerprint(hashes.SHA256()).hex(":").upper()


def _make(certificate: Path, key_file: Path, hosts: list[str]) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Stoker")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName([alternative_name(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    # Each is written whole; a crash in between leaves two that do not belong together, which the next start finds.
    write_private(key_file, pem_of_key(key).encode())
    write_private(certificate, made.public_bytes(serialization.Encoding.PEM))


def pem_of_key(key: ec.EllipticCurvePrivateKey) -> str:
    """A private key in PEM, without a passphrase."""
    shape = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*shape).decode()


def host_name(text: str) -> str:
    """A host's name or address in the one form in which certificates name it: an address shortened, a name in ASCII.

    Raises:
        ValueError: no certificate can name it; the message is a clause that says why.
    """
    with suppress(ValueError):
        return str(ipaddress.ip_address(text.partition("%")[0]))  # certificates know no zones
    wildcard, rest = ("*.", text[2:]) if text.startswith("*.") else ("", text)
    try:
        name = wildcard + rest.encode("idna").decode("ascii").lower().removesuffix(".")
    except UnicodeError as error:
        raise ValueError("it is not a host name: a part of it is empty, longer than 63 characters or not allowed") from error
    if len(name) > _LONGEST:
        raise ValueError(f"it is longer than {_LONGEST} characters")
    if not _HOST.fullmatch(name):
        raise ValueError("a host name has letters, digits, dashes and dots")
    return name


def alternative_name(host: str) -> x509.GeneralName:
    """A host's name or address, as ``host_name`` gives it, in a certificate."""
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
