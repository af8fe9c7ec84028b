# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Requests about people: users, tokens, signing in, and the audit of what they changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import httpx

from stoker.client import documents as doc
from stoker.client.connection import unreachable
from stoker.client.requests import Requests
from stoker.client.requests import part_of_path as _q


class PeopleRequests(Requests):
    """Requests about people."""

    def session(self) -> doc.SessionDocument:
        """Who one is and what one may do."""
        return self._one(doc.SessionDocument, "GET", "/api/session")

    def sign_in(self, user: str, password: str) -> doc.SessionDocument:
        """Go on as a user with a password instead of the token, until the client is closed."""
        self._http.headers.pop("Authorization", None)
        found = self._one(doc.SessionDocument, "POST", "/api/session", body={"user": user, "password": password})
        self._http.headers["X-CSRF-Token"] = found["csrf"]
        return found

    def sign_out(self) -> None:
        """End what ``sign_in`` began."""
        self._send("DELETE", "/api/session")

    def make_login_link(self) -> doc.LinkDocument:
        """A link that signs a browser in once."""
        return self._one(doc.LinkDocument, "POST", "/api/session/links")

    def users(self) -> list[doc.UserDocument]:
        """All users."""
        return self._many(doc.UserDocument, "/api/users")

    def add_user(self, name: str, password: str, access: str) -> doc.UserDocument:
        """Add a user."""
        return self._one(doc.UserDocument, "POST", "/api/users", body={"name": name, "password": password, "access": access})

    def change_user(self, name: str, **fields: object) -> doc.UserDocument:
        """Change a user. ``fields``: access, disabled."""
        return self._one(doc.UserDocument, "PATCH", f"/api/users/{_q(name)}", body=fields)

    def set_password(self, name: str, password: str, old_password: str = "") -> doc.UserDocument:
        """Set a password; one's own needs the old one."""
        body = {"password": password, "old_password": old_password}
        return self._one(doc.UserDocument, "PUT", f"/api/users/{_q(name)}/password", body=body)

    def remove_user(self, name: str) -> None:
        """Remove a user with tokens and sessions."""
        self._send("DELETE", f"/api/users/{_q(name)}")

    def tokens(self) -> list[doc.TokenDocument]:
        """One's own tokens; for an admin, everybody's."""
        return self._many(doc.TokenDocument, "/api/tokens")

    def create_token(
        self,
        name: str,
        *,
        access: str,
        user: str | None = None,
        environments: Sequence[str] | None = None,
        expires_in_days: int | None = 90,
    ) -> doc.TokenDocument:
        """Make a token; its secret is in the answer's ``token``, and never again."""
        body: dict[str, object] = {"name": name, "access": access, "expires_in_days": expires_in_days}
        body |= {"user": user} if user is not None else {}
        body |= {"environments": list(environments)} if environments is not None else {}
        return self._one(doc.TokenDocument, "POST", "/api/tokens", body=body)

    def revoke_token(self, token: str) -> None:
        """End a token, by name or id."""
        self._send("DELETE", f"/api/tokens/{_q(token)}")

    def audit(self, limit: int, **filters: object) -> list[doc.AuditDocument]:
        """The newest changes that fit: actor, action, object, environment, since, until."""
        found: list[doc.AuditDocument] = []
        cursor: object = None
        while len(found) < limit:
            query = {**filters, "limit": min(1000, limit - len(found)) if cursor is None else 1000, "cursor": cursor}
            part = self._one(doc.AuditPage, "GET", "/api/audit", query=query)
            found += part["items"]
            if not (cursor := part.get("next")):
                break
        return found[:limit]

    def export_audit(self, form: str, **filters: object) -> Iterator[bytes]:
        """All changes that fit, as ``jsonl`` or ``csv``, a piece at a time."""
        query = {"format": form, **{key: str(value) for key, value in filters.items() if value not in (None, "")}}
        try:
            with self._http.stream("GET", "/api/audit/export", params=query) as response:
                if not response.is_success:
                    response.read()
                    raise self._error_of(response)
                yield from response.iter_bytes()
        except httpx.TransportError as error:
            raise unreachable(self.settings.server, error) from error
