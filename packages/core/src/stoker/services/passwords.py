# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Passwords: hashed with argon2id, checked with the same work for users that are not there, a few at a time."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Final, ParamSpec, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from stoker.errors import InvalidInputError

T = TypeVar("T")
P = ParamSpec("P")
SHORTEST: Final = 12
LONGEST: Final = 1024
_HASHER: Final = PasswordHasher()  # argon2id with the library's defaults (RFC 9106, low memory)
_APART: Final = ThreadPoolExecutor(max_workers=2, thread_name_prefix="passwords")
"""Each hash takes 64 MiB and much time by intent: strangers must not be able to ask for many at once."""


def refuse_weak(user: str, password: str) -> None:
    """Refuse passwords that are too short or tell themselves. Raises InvalidInputError, which never repeats the password."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise InvalidInputError(
            f"user {user}: a password has {SHORTEST} to {LONGEST} characters.",
            remedy="Choose another one; several words are good.",
        )
    if len(set(password)) < SHORTEST // 3 or user.lower() == password.lower():
        raise InvalidInputError(
            f"user {user}: this password is easily guessed.", remedy="Choose another one; several words are good."
        )


def hashed(password: str) -> str:
    """What is stored of a password."""
    return _HASHER.hash(password)


def fits(stored: str | None, password: str) -> bool:
    """Whether a password is the stored one; as much work where none is stored."""
    try:
        same = _HASHER.verify(stored or _nobodys(), password)
    except (VerificationError, InvalidHashError):
        return False
    return same and stored is not None


@cache
def _nobodys() -> str:
    return _HASHER.hash("nobody's password")


async def apart(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do work that hashes passwords apart from other requests, for the same actor."""
    present = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(_APART, lambda: present.run(work, *args, **kwargs))
