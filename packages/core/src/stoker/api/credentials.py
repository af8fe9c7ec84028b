# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Credentials: SSH keys for reaching nodes."""

from __future__ import annotations

import msgspec
from litestar import Router, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from stoker.api.listing import Listing
from stoker.api.openapi import problems
from stoker.api.rights import ADMIN
from stoker.services import credentials
from stoker.services.context import ServerContext
from stoker.services.credentials import CredentialView


class NewCredential(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A credential to add."""

    name: str
    private_key: str | None = None
    """An OpenSSH private key without a passphrase; one is made if none is given."""


@post("/", opt=ADMIN, sync_to_thread=True, responses=problems(409, 413, 422))
def add_credential(context: NamedDependency[ServerContext], data: JSONBody[NewCredential]) -> CredentialView:
    """Keep a private key, or make one; answers the public part."""
    return credentials.add(context, data.name, data.private_key)


@get("/", sync_to_thread=True, responses=problems())
def list_credentials(context: NamedDependency[ServerContext]) -> Listing[CredentialView]:
    """All credentials, public parts only."""
    return Listing(credentials.list_all(context))


@delete("/{credential:str}", opt=ADMIN, sync_to_thread=True, responses=problems(404, 409))
def remove_credential(context: NamedDependency[ServerContext], credential: FromPath[str]) -> None:
    """Forget a credential that no node uses."""
    credentials.remove(context, credential)


router = Router("/api/credentials", route_handlers=[add_credential, list_credentials, remove_credential], tags=["credentials"])
