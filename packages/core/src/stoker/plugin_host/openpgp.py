# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""OpenPGP: the key that signs repositories, made and used by gpg in a home of its own that lasts as long as the work."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from stoker.errors import MissingProgramError, RepositoryError

_SECONDS: Final = 300
_LONGEST_HOME: Final = 60
"""Bytes of a home's path: gpg-agent's sockets lie in it, and their names must stay below 108."""
_OWNER: Final = "Stoker package repositories"
_PACKAGES: Final = {
    "gpg": "gnupg",
    "gpgconf": "gnupg",
    "createrepo_c": "createrepo-c",
    "rpmsign": "rpm (Debian) or rpm-sign (Red Hat)",
}


class SigningKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key pair in ASCII armour."""

    fingerprint: str
    public: str
    private: str


def missing_programs(*, rpm: bool = False) -> list[str]:
    """The system packages that are missing on this machine to make repositories, of RPM packages too if asked."""
    needed = ["gpg", "gpgconf", *(("createrepo_c", "rpmsign") if rpm else ())]
    return sorted({_PACKAGES[name] for name in needed if shutil.which(name) is None})


def run_program(command: list[str], environment: dict[str, str] | None = None, data: bytes = b"") -> bytes:
    """What a program prints.

    Raises:
        MissingProgramError: it is not installed.
        RepositoryError: it fails, or takes too long.
    """
    program = shutil.which(command[0])
    if program is None:
        package = _PACKAGES.get(command[0], command[0])
        raise MissingProgramError(
            f"the server's machine has no {command[0]}, which makes package repositories.",
            remedy=f"Install the system package {package} there, then install the plugin again.",
        )
    surroundings = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", **(environment or {})}
    try:
        done = subprocess.run(
            [program, *command[1:]], input=data, capture_output=True, check=False, timeout=_SECONDS, env=surroundings
        )
    except subprocess.TimeoutExpired as error:
        raise RepositoryError(
            f"{command[0]} did not end within {_SECONDS} s.", remedy="See what keeps the machine busy."
        ) from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[-500:]
        raise RepositoryError(f"{command[0]} failed with status {done.returncode}: {said}", remedy="See what it says.")
    return done.stdout


class Keyring:
    """A gpg home with one private key."""

    def __init__(self, home: Path, fingerprint: str = "") -> None:
        """Use the home; a key is in it when ``fingerprint`` is given."""
        self._home = home
        self._fingerprint = fingerprint

    def clearsigned(self, text: str) -> bytes:
        """The text with its signature around it."""
        return self._gpg("--local-user", self._fingerprint, "--clearsign", data=text.encode())

    def detached(self, data: bytes) -> bytes:
        """The signature of some bytes alone, in ASCII armour."""
        return self._gpg("--local-user", self._fingerprint, "--armor", "--detach-sign", data=data)

    def sign_rpm(self, path: Path) -> None:
        """Put the signature into an RPM package, instead of the one that it may have."""
        # Debian's rpm looks for a gpg2 that Debian does not have.
        macros = {"_gpg_name": self._fingerprint, "_gpg_path": str(self._home), "__gpg": shutil.which("gpg") or "gpg"}
        words = [word for name, value in macros.items() for word in ("--define", f"{name} {value}")]
        run_program(["rpmsign", *words, "--addsign", str(path)], self._environment)

    def generate(self) -> SigningKey:
        """A new key; it does not expire and signs only."""
        self._gpg("--quick-gen-key", _OWNER, "rsa3072", "sign", "never")
        rows = self._gpg("--with-colons", "--list-secret-keys").decode().splitlines()
        fingerprint = next(row.split(":")[9] for row in rows if row.startswith("fpr:"))
        public = self._gpg("--armor", "--export", fingerprint).decode()
        private = self._gpg("--armor", "--export-secret-keys", fingerprint).decode()
        return SigningKey(fingerprint=fingerprint, public=public, private=private)

    def take(self, key: SigningKey) -> None:
        """Import a key."""
        self._gpg("--import", data=key.private.encode())
        self._fingerprint = key.fingerprint

    def close(self) -> None:
        """End the agent that gpg started for this home."""
        run_program(["gpgconf", "--homedir", str(self._home), "--kill", "all"], self._environment)

    @property
    def _environment(self) -> dict[str, str]:
        return {"GNUPGHOME": str(self._home), "HOME": str(self._home)}

    def _gpg(self, *words: str, data: bytes = b"") -> bytes:
        always = ["--batch", "--no-tty", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "", "--digest-algo", "SHA512"]
        return run_program(["gpg", "--homedir", str(self._home), *always, *words], self._environment, data)


@contextmanager
def keyring(folder: Path, key: SigningKey | None = None) -> Iterator[Keyring]:
    """A keyring in a folder that only this user can enter, gone afterwards with the agent that gpg starts.

    Args:
        folder: where the home is made, if its path is not too long for the agent's sockets.
        key: the key that it holds.

    Raises:
        MissingProgramError: gpg is not installed.
        RepositoryError: gpg fails.
    """
    short = len(os.fsencode(folder)) <= _LONGEST_HOME
    if short:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(prefix="stoker-gpg-", dir=folder if short else None) as home:
        opened = Keyring(Path(home))
        try:
            if key is not None:
                opened.take(key)
            yield opened
        finally:
            opened.close()
