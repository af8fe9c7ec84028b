# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A file that only a passphrase opens: written and read piece by piece, and no piece can be changed, moved or cut off."""

from __future__ import annotations

import io
import os
from typing import IO, TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from stoker.errors import InvalidInputError

if TYPE_CHECKING:
    from typing_extensions import Buffer

MAGIC: Final = b"stoker sealed 1\n"
_SALT: Final = 16
_PIECE: Final = 1024 * 1024
_LENGTH: Final = 4
_MORE, _LAST = b"more", b"last"


def is_sealed(file: IO[bytes]) -> bool:
    """Whether a file begins as a sealed one; it is read from its beginning afterwards."""
    beginning = file.read(len(MAGIC))
    file.seek(0)
    return beginning == MAGIC


def _cipher(passphrase: str, salt: bytes) -> AESGCM:
    return AESGCM(Scrypt(salt=salt, length=32, n=2**15, r=8, p=1).derive(passphrase.encode()))


class SealingWriter(io.RawIOBase):
    """Takes what is to be sealed; ``close`` writes the end, without which the file opens no more."""

    def __init__(self, file: IO[bytes], passphrase: str) -> None:
        """Write to this file, which stays open."""
        salt = os.urandom(_SALT)
        self._file = file
        self._cipher = _cipher(passphrase, salt)
        self._number = 0
        self._waiting = bytearray()
        file.write(MAGIC + salt)

    def writable(self) -> bool:
        """It is for writing."""
        return True

    def write(self, data: Buffer, /) -> int:
        """Seal, as soon as there is enough."""
        view = memoryview(data)
        self._waiting += view
        while len(self._waiting) > _PIECE:
            self._seal(bytes(self._waiting[:_PIECE]), _MORE)
            del self._waiting[:_PIECE]
        return view.nbytes

    def close(self) -> None:
        """Write the last piece."""
        if not self.closed:
            self._seal(bytes(self._waiting), _LAST)
        super().close()

    def _seal(self, piece: bytes, place: bytes) -> None:
        sealed = self._cipher.encrypt(self._number.to_bytes(12, "big"), piece, place)
        self._file.write(len(sealed).to_bytes(_LENGTH, "big") + sealed)
        self._number += 1


class OpeningReader(io.RawIOBase):
    """Gives what was sealed."""

    def __init__(self, file: IO[bytes], passphrase: str) -> None:
        """Read from this file, which stays open."""
        beginning = file.read(len(MAGIC) + _SALT)
        self._file = file
        self._cipher = _cipher(passphrase, beginning[len(MAGIC) :])
        self._number = 0
        self._waiting = b""
        self._ended = False

    def readable(self) -> bool:
        """It is for reading."""
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        """Give some bytes.

        Raises:
            InvalidInputError: the passphrase is another one, or the file was changed or cut off.
        """
        view = memoryview(buffer).cast("B")
        while not self._waiting and not self._ended:
            self._open()
        given, self._waiting = self._waiting[: len(view)], self._waiting[len(view) :]
        view[: len(given)] = given
        return len(given)

    def _open(self) -> None:
        length = int.from_bytes(self._file.read(_LENGTH), "big")
        sealed = self._file.read(min(length, 2 * _PIECE))
        nonce = self._number.to_bytes(12, "big")
        for place in (_MORE, _LAST):
            try:
                self._waiting = self._cipher.decrypt(nonce, sealed, place)
            except (InvalidTag, ValueError):
                continue
            self._ended = place == _LAST
            self._number += 1
            return
        raise InvalidInputError(
            "the file cannot be opened: the passphrase is another one, or the file was changed or is not complete.",
            remedy="Give the passphrase with which it was sealed, or another copy of the file.",
        )
