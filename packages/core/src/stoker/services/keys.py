# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""SSH keys: made, or read from what an operator gives."""

from __future__ import annotations

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stoker.errors import InvalidInputError


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """A secret, and what of it anybody may know."""

    private: str
    public: dict[str, str] = {}


class KeyPair(msgspec.Struct, frozen=True, kw_only=True):
    """A key pair as OpenSSH writes it."""

    private_key: str
    public_key: str

    def pair(self) -> Pair:
        """The same as a secret with its public part."""
        return Pair(private=self.private_key, public={"public_key": self.public_key})


def generate_ssh_key(comment: str) -> KeyPair:
    """A new ed25519 key pair."""
    return _pair(Ed25519PrivateKey.generate(), comment)


def read_ssh_key(text: str, comment: str, what: str) -> KeyPair:
    """A key pair from an OpenSSH private key; ``what`` names its place in messages.

    Raises:
        InvalidInputError: it is not a private key, or it has a passphrase.
    """
    try:
        key = serialization.load_ssh_private_key(text.strip().encode() + b"\n", password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidInputError(
            f"{what}: this is not an OpenSSH private key without a passphrase.",
            remedy="Give the text of a file like ~/.ssh/id_ed25519, or none to have one made.",
        ) from error
    return _pair(key, comment)


def _pair(key: serialization.ssh.SSHPrivateKeyTypes, comment: str) -> KeyPair:
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return KeyPair(private_key=private.decode(), public_key=f"{public.decode()} {comment}")
