# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Repeated requests: under a key that its caller made up a change is made once, and who repeats it gets the first answer."""

from __future__ import annotations

import time
from typing import Final

import msgspec
from sqlalchemy import delete, insert, select, update

from stoker.db.tables import idempotency_keys as keys
from stoker.domain import actor
from stoker.errors import ConflictError, InvalidInputError, UnderWayError
from stoker.services.context import ServerContext

KEPT_SECONDS: Final = 24 * 3600.0
"""How long an answer can be had again."""
LEASE_SECONDS: Final = 15.0
"""How long a request counts as under way without a sign of life of who carries it out."""
MOST_BYTES: Final = 1024 * 1024
"""Longer answers are not kept."""


class KeyReusedError(InvalidInputError):
    """The key was used for another request."""

    kind = "idempotency-key-reused"


class OutcomeUnknownError(ConflictError):
    """The first request broke off: nobody knows whether it was carried out."""

    kind = "outcome-unknown"


class AnswerNotKeptError(ConflictError):
    """The first request was carried out, but its answer is not kept."""

    kind = "answer-not-kept"


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A request that may be repeated."""

    key: str
    fingerprint: str
    """A keyed hash of everything that the request says."""
    caller: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a request was answered with."""

    status: int
    headers: list[tuple[str, str]] = []
    body: bytes | None = None
    """``None`` if it is not kept."""


def claim_of(context: ServerContext, key: str, request: bytes) -> Claim:
    """The claim of the present actor's request."""
    who = actor.current()
    return Claim(
        key=key,
        fingerprint=context.vault.keyed_hash(request),
        caller=":".join((who.kind, who.user_id or who.name, who.token_id)),
    )


def take(context: ServerContext, claim: Claim) -> Answer | None:
    """Begin a request, or give the answer that it had before.

    Raises:
        KeyReusedError: another request had this key.
        UnderWayError: the first one is not answered yet.
        OutcomeUnknownError: the first one broke off.
        AnswerNotKeptError: the first one was answered with a secret, or at great length.
    """
    now = time.time()
    with context.database.transaction() as connection:
        connection.execute(delete(keys).where(keys.c.at < now - KEPT_SECONDS))
        row = connection.execute(select(keys).where(keys.c.caller == claim.caller, keys.c.key == claim.key)).first()
        if row is None:
            values = {"caller": claim.caller, "key": claim.key, "fingerprint": claim.fingerprint}
            connection.execute(insert(keys).values(**values, status=0, headers="[]", at=now, lease_until=now + LEASE_SECONDS))
            return None
    if row.fingerprint != claim.fingerprint:
        raise KeyReusedError(
            "another request had this Idempotency-Key before.", remedy="Make a new key for each request that is not a repetition."
        )
    if row.status == 0 and row.lease_until > now:
        raise UnderWayError(
            "the first request with this Idempotency-Key is still under way.", remedy="Repeat it in a moment.", retry_after=1
        )
    if row.status == 0:
        raise OutcomeUnknownError(
            "the server broke off while it carried this request out, and nobody knows whether it was done.",
            remedy="Look whether it was; if not, send it with a new Idempotency-Key.",
        )
    if row.body is None:
        raise AnswerNotKeptError(
            f"this request was carried out before (status {row.status}); its answer, maybe a secret shown once, is not kept.",
            remedy="Look at what it made; if the secret is lost, delete that and make a new one with a new Idempotency-Key.",
        )
    headers = msgspec.json.decode(row.headers, type=list[tuple[str, str]])
    return Answer(status=row.status, headers=headers, body=context.vault.decrypt(row.body))


def renew(context: ServerContext, claim: Claim) -> None:
    """Say that a request is still being carried out."""
    with context.database.transaction() as connection:
        mine = (keys.c.caller == claim.caller, keys.c.key == claim.key, keys.c.status == 0)
        connection.execute(update(keys).where(*mine).values(lease_until=time.time() + LEASE_SECONDS))


def keep(context: ServerContext, claim: Claim, answer: Answer) -> None:
    """Keep an answer, encrypted as secrets are."""
    body = None if answer.body is None or len(answer.body) > MOST_BYTES else context.vault.encrypt(answer.body)
    with context.database.transaction() as connection:
        connection.execute(
            update(keys)
            .where(keys.c.caller == claim.caller, keys.c.key == claim.key)
            .values(status=answer.status, headers=msgspec.json.encode(answer.headers).decode(), body=body)
        )


def let_go(context: ServerContext, claim: Claim) -> None:
    """Forget a request that was refused or failed: it may be sent again under the same key."""
    with context.database.transaction() as connection:
        connection.execute(delete(keys).where(keys.c.caller == claim.caller, keys.c.key == claim.key))
