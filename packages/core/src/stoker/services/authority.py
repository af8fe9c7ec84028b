# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The environment's own certificate authority: made at the first need, it signs the certificates that settings ask for."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from sqlalchemy import Connection, insert, select

from stoker.db.tables import secrets
from stoker.db.vault import Vault
from stoker.errors import InvalidInputError
from stoker.services.certificates import alternative_name, names_in, pem_of_key
from stoker.services.keys import Pair

OWNER = ""
"""In place of a plugin's name: the secret is the environment's own."""
NAME = "authority"
AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 825
_EARLIER = dt.timedelta(minutes=5)  # nodes' clocks may be a little behind


def issue(connection: Connection, vault: Vault, environment_id: str, title: str, names: Sequence[str]) -> Pair:
    """A private key with a certificate of the environment's authority.

    Args:
        connection: the caller's transaction.
        vault: where the authority's key is.
        environment_id: whose authority signs.
        title: the certificate's common name.
        names: host names and addresses that it is for, as ``host_name`` gives them.

    Returns:
        The key in PEM; public: ``certificate`` and ``ca``, both in PEM.
    """
    authority_key, authority = _authority(connection, vault, environment_id)
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(title, authority.subject, key.public_key(), CERTIFICATE_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    builder = builder.add_extension(identifier, critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([alternative_name(name) for name in names]), critical=False)
    certificate = builder.sign(authority_key, hashes.SHA256())
    return Pair(private=pem_of_key(key), public={"certificate": _pem(certificate), "ca": _pem(authority)})


def names_of(certificate: str) -> set[str]:
    """The host names and addresses that a certificate is for."""
    return names_in(x509.load_pem_x509_certificate(certificate.encode()))


def read_pair(text: str, what: str) -> Pair:
    """A private key and its certificate, as an operator gives them in one PEM text; further certificates are the issuers'.

    Raises:
        InvalidInputError: one of them is missing, or they do not belong together.
    """
    refused = InvalidInputError(
        f"{what}: this is not a private key without a passphrase followed by its certificate, both in PEM.",
        remedy="Give the key and the certificate in one text, or none to have them made.",
    )
    try:
        key = serialization.load_pem_private_key(text.encode(), password=None)
        certificates = x509.load_pem_x509_certificates(text.encode())
    except (ValueError, TypeError) as error:
        raise refused from error
    shape = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*shape) != certificates[0].public_key().public_bytes(*shape):
        raise refused
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    issuers = "".join(_pem(certificate) for certificate in certificates[1:])
    return Pair(private=private.decode(), public={"certificate": _pem(certificates[0]), "ca": issuers})


def _authority(connection: Connection, vault: Vault, environment_id: str) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    own = (secrets.c.environment_id == environment_id, secrets.c.plugin == OWNER, secrets.c.name == NAME)
    row = connection.execute(select(secrets).where(*own)).first()
    if row is not None:
        key = serialization.load_pem_private_key(vault.decrypt(row.value), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError(f"the authority of environment {environment_id} has a key of another kind than it was made with")
        public = msgspec.json.decode(row.public, type=dict[str, str])
        return key, x509.load_pem_x509_certificate(public["certificate"].encode())
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Stoker environment {environment_id}")])
    builder = _builder(f"Stoker environment {environment_id}", subject, key.public_key(), AUTHORITY_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    connection.execute(
        insert(secrets).values(
            environment_id=environment_id,
            plugin=OWNER,
            name=NAME,
            version=1,
            value=vault.encrypt(pem_of_key(key).encode()),
            public=msgspec.json.encode({"certificate": _pem(certificate)}).decode(),
            generated=True,
            created_at=time.time(),
        )
    )
    return key, certificate


def _builder(title: str, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title[:64])]))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + dt.timedelta(days=days))
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
