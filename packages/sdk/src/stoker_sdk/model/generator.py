# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Generators: how the control plane makes a secret that the operator does not give."""

from __future__ import annotations

import base64
import secrets
import string
import struct
import time
import uuid
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, get_args

Generator: TypeAlias = Literal["password", "hex", "uuid", "fernet_key", "cephx_key", "ssh_key", "x509"]
"""
- ``password``: letters and digits, ``length`` of them (32).
- ``hex``: hexadecimal digits, ``length`` of them (32).
- ``uuid``: a random UUID.
- ``fernet_key``: a key for Fernet tokens, 32 bytes in URL-safe base64.
- ``cephx_key``: a key for Ceph's authentication.
- ``ssh_key``: the private key of an ed25519 pair, as OpenSSH writes it; its public half is ``ref.public.FIELD.public_key``.
- ``x509``: the private key of a certificate from the environment's own authority, PEM; ``ref.public.FIELD.certificate`` and
  ``ref.public.FIELD.ca`` are the certificate and the authority's.
"""

GENERATORS: Final[frozenset[str]] = frozenset(get_args(Generator))
PUBLIC_PARTS: Final[Mapping[str, tuple[str, ...]]] = {"ssh_key": ("public_key",), "x509": ("certificate", "ca")}
"""Generators of pairs, and what of each pair anybody may know."""

DEFAULT_LENGTH: Final = 32
_ALPHABET: Final = string.ascii_letters + string.digits
_CEPHX_AES: Final = 1
_CEPHX_BYTES: Final = 16


def random_text(generator: str, length: int = DEFAULT_LENGTH) -> str:
    """A secret that is nothing but random.

    Args:
        generator: ``password``, ``hex``, ``uuid``, ``fernet_key`` or ``cephx_key``.
        length: characters of a password or hex text; others have a length of their own.

    Raises:
        ValueError: there is no such generator, or it makes pairs.
    """
    match generator:
        case "password":
            return "".join(secrets.choice(_ALPHABET) for _ in range(length))
        case "hex":
            return secrets.token_hex(length // 2 + 1)[:length]
        case "uuid":
            return str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))
        case "fernet_key":
            return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
        case "cephx_key":
            # type, seconds and nanoseconds of its making, length, bytes: CryptoKey::encode in Ceph's src/auth/Crypto.cc
            head = struct.pack("<HIIH", _CEPHX_AES, int(time.time()), 0, _CEPHX_BYTES)
            return base64.b64encode(head + secrets.token_bytes(_CEPHX_BYTES)).decode()
        case other:
            raise ValueError(f"{other!r} is not a generator of random texts")
