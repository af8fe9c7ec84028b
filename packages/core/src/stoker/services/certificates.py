# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Certificates: the server's own, self-signed where the operator gives none; and what all certificates are made of."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from stoker.db.vault import write_private
from stoker.errors import ConfigurationError

_DAYS = 825


def ensure_certificate(folder: Path, hosts: Iterable[str]) -> tuple[Path, Path]:
    """A self-signed certificate and its key below ``folder``; made when there is none."""
    certificate, key = folder / "server.crt", folder / "server.key"
    if not (certificate.exists() and key.exists()):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _make(certificate, key, sorted(set(hosts)))
    return certificate, key


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
    write_private(key_file, pem_of_key(key).encode())
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))


def pem_of_key(key: ec.EllipticCurvePrivateKey) -> str:
    """A private key in PEM, without a passphrase."""
    shape = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*shape).decode()


def alternative_name(host: str) -> x509.GeneralName:
    """A host's name or address as a certificate names it."""
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
