# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Reaching the server: address, token, certificate, and problem documents turned into errors."""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import httpx
import msgspec

from stoker import errors

DEFAULT_SERVER = "http://127.0.0.1:8550"
TOKEN_FILE = "admin-token"  # noqa: S105  a file's name
PROBLEM = "urn:stoker:problem:"
"""How the type of every problem document begins."""
_NOT_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "record layer failure", "PACKET_LENGTH_TOO_LONG")
"""How OpenSSL says that the other side does not speak TLS."""
_BY_STATUS: dict[int, type[errors.StokerError]] = {
    401: errors.UnauthorizedError,
    403: errors.ForbiddenError,
    404: errors.NotFoundError,
    409: errors.ConflictError,
}


class ConnectionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach a server and who asks."""

    server: str = DEFAULT_SERVER
    """Its address, e.g. ``https://stoker.example.net:8550``."""
    token: str = ""
    """The bearer token; empty: read from the file ``admin-token`` in ``data``."""
    token_source: str = ""
    """Where the token came from, for messages: ``--token`` or ``STOKER_TOKEN``."""
    data: str = ""
    """The server's data folder, if it is on this machine; empty: the default one."""
    ca: str = ""
    """A file with the certificate authority that the server's certificate must come from."""
    fingerprint: str = ""
    """Or the SHA-256 fingerprint of the server's certificate, as the server prints it."""
    timeout: float = 60.0
    """Seconds to wait for an answer."""


def default_data_folder() -> Path:
    """The data folder where none is named: ``$STOKER_DATA`` or ``~/.local/share/stoker``."""
    named = os.environ.get("STOKER_DATA", "")
    return Path(named) if named else Path.home() / ".local" / "share" / "stoker"


def token_file(settings: ConnectionSettings) -> Path:
    """The file with the admin token, if the server's data folder is on this machine."""
    return (Path(settings.data) if settings.data else default_data_folder()) / TOKEN_FILE


def find_token(settings: ConnectionSettings) -> str:
    """The token: the one given, or the admin token in the data folder; empty if there is neither."""
    if settings.token:
        return settings.token
    file = token_file(settings)
    try:
        return file.read_text(encoding="utf-8").strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a text"
        raise errors.UnauthorizedError(
            f"the admin token in {file} cannot be read: {reason}.",
            remedy="Run this as the user who started the server, or give --token or STOKER_TOKEN.",
        ) from error


def refused(settings: ConnectionSettings, token: str) -> errors.UnauthorizedError:
    """The error for a token that the server does not know, or for none: which server, which token, and what to do."""
    file = token_file(settings)
    if not token:
        return errors.UnauthorizedError(
            f"the server at {settings.server} wants a token, and there is none: neither --token nor STOKER_TOKEN is given, "
            f"and there is no file {file}.",
            remedy="Give the token of the server's admin-token file with --token or STOKER_TOKEN, "
            "or the server's data folder with --data or STOKER_DATA.",
        )
    if settings.token:
        source = settings.token_source or "the client's settings"
        return errors.UnauthorizedError(
            f"the server at {settings.server} does not know the token from {source}, or it was revoked or has ended.",
            remedy="Give one that is good there ('stoker tokens create --sign-in USER' makes it), "
            "or name the server that it belongs to with --server.",
        )
    return errors.UnauthorizedError(
        f"the server at {settings.server} does not know the token in {file}.",
        remedy="Name that server's data folder with --data or STOKER_DATA, or the server of this one with --server; "
        "elsewhere give its token with --token or STOKER_TOKEN.",
    )


def check_server(server: str) -> httpx.URL:
    """The server's address, if it is one.

    Raises:
        InvalidInputError: it is not an http or https URL.
    """
    try:
        url = httpx.URL(server)
        fits = url.scheme in {"http", "https"} and bool(url.host) and (url.port is None or 0 < url.port < 65536)
    except (httpx.InvalidURL, ValueError):
        fits = False
    if not fits:
        raise errors.InvalidInputError(
            f"the server's address {server!r} is not an http or https URL.",
            remedy="Write e.g. http://127.0.0.1:8550 or https://stoker.example.net:8550 in --server or STOKER_SERVER.",
        )
    return url


def tls_context(settings: ConnectionSettings) -> ssl.SSLContext | bool:
    """What decides whether the server's certificate is the right one."""
    if settings.fingerprint:
        return _pinned(settings)
    if settings.ca:
        try:
            return ssl.create_default_context(cafile=settings.ca)
        except (OSError, ssl.SSLError) as error:
            raise errors.InvalidInputError(
                f"the certificate authority in {settings.ca} cannot be read: {error}.", remedy="Give a PEM file with --ca."
            ) from error
    return True


def _pinned(settings: ConnectionSettings) -> ssl.SSLContext:
    """Trust exactly the certificate with the given fingerprint."""
    url = httpx.URL(settings.server)
    if url.scheme != "https":
        raise errors.InvalidInputError(
            f"a fingerprint is given, but {settings.server} is not an https address.",
            remedy="Write https://, or leave the fingerprint out.",
        )
    wanted = settings.fingerprint.removeprefix("sha256:").removeprefix("SHA256:").replace(":", "").lower()
    probe = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    probe.check_hostname = False
    probe.verify_mode = ssl.CERT_NONE  # the fingerprint is the check
    try:
        with (
            socket.create_connection((url.host, url.port or 443), timeout=settings.timeout) as raw,
            probe.wrap_socket(raw, server_hostname=url.host) as connection,
        ):
            certificate = connection.getpeercert(binary_form=True) or b""
    except OSError as error:
        raise unreachable(settings.server, error) from error
    shown = hashlib.sha256(certificate).hexdigest()
    if shown != wanted:
        raise errors.ServerUnreachableError(
            f"the server at {settings.server} shows a certificate with the fingerprint {shown}, not {wanted}.",
            remedy="If its certificate was renewed, take the new fingerprint from its log; else somebody is in between.",
        )
    context = ssl.create_default_context(cadata=ssl.DER_cert_to_PEM_cert(certificate))
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def unreachable(server: str, error: Exception) -> errors.ServerUnreachableError:
    """The error for a server that does not answer."""
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return errors.ServerUnreachableError(
            f"the server at {server} did not answer in time.", remedy="Look at the server's log, or try again."
        )
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return errors.ServerUnreachableError(
            f"the certificate of the server at {server} is not trusted: {_phrase(error)}.",
            remedy="Give its authority with --ca, or its fingerprint, which the server prints at start, with --fingerprint.",
        )
    if any(sign in str(error) for sign in _NOT_TLS):
        return errors.ServerUnreachableError(
            f"what answers at {server} does not speak TLS.", remedy=f"Write http://{server.partition('://')[2]}."
        )
    if isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError) and not isinstance(error, httpx.ConnectError):
        if server.startswith("http://") and _speaks_tls(server):
            return errors.ServerUnreachableError(
                f"what answers at {server} speaks TLS alone.", remedy=f"Write https://{server.partition('://')[2]}."
            )
        return errors.ServerUnreachableError(
            f"the connection to the server at {server} broke before it answered: {_phrase(error)}.",
            remedy="Look whether it runs ('stoker serve' starts one), then look at what it did before you repeat this.",
        )
    return errors.ServerUnreachableError(
        f"no server answers at {server}: {_phrase(error)}.",
        remedy="Start one with 'stoker serve', or name another one with --server or STOKER_SERVER.",
    )


def _phrase(error: Exception) -> str:
    """An error's text, ready for a full stop."""
    return str(error).strip().rstrip(".") or type(error).__name__


def _speaks_tls(server: str) -> bool:
    """Whether a port that hung up on plain HTTP greets who speaks TLS."""
    url = httpx.URL(server)
    probe = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    probe.check_hostname = False
    probe.verify_mode = ssl.CERT_NONE  # nothing is sent; only the greeting counts
    try:
        with (
            socket.create_connection((url.host, url.port or 80), timeout=2) as raw,
            probe.wrap_socket(raw, server_hostname=url.host),
        ):
            return True
    except OSError:
        return False


def foreign(server: str, response: httpx.Response) -> errors.ServerUnreachableError:
    """The error for an answer that no Stoker server gives."""
    kind = response.headers.get("content-type", "").partition(";")[0] or "no content type"
    return errors.ServerUnreachableError(
        f"what answers at {server} is not a Stoker server: {response.request.method} {response.request.url.path} gave "
        f"{response.status_code} {response.reason_phrase} ({kind}).".replace("  ", " "),
        remedy="Name a Stoker server with --server or STOKER_SERVER; if this is a gateway before one, look whether it runs.",
    )


def error_classes() -> dict[str, type[errors.StokerError]]:
    """Every error class by its kind."""
    return {found.kind: found for found in _subclasses(errors.StokerError)}


def _subclasses(base: type[errors.StokerError]) -> Iterator[type[errors.StokerError]]:
    for found in base.__subclasses__():
        yield found
        yield from _subclasses(found)


def error_of(response: httpx.Response) -> errors.StokerError | None:
    """The error that a problem document means; data["kind"] keeps the server's word for it. None if it is no such document."""
    try:
        document = msgspec.json.decode(response.content, type=dict[str, object])
    except msgspec.DecodeError:
        return None
    if not str(document.get("type", "")).startswith(PROBLEM):
        return None
    kind = str(document["type"]).removeprefix(PROBLEM)
    detail = str(document.get("detail") or document.get("title") or f"the server answered {response.status_code}.")
    remedy = str(document.get("remedy", "") or "")
    data = {key: value for key, value in document.items() if key not in {"type", "detail", "remedy", "node"}}
    data["kind"] = kind or "unknown"
    found = error_classes().get(kind) or _BY_STATUS.get(response.status_code)
    if found is None:
        found = errors.InvalidInputError if 400 <= response.status_code < 500 else errors.StokerError
    if issubclass(found, errors.NodeError):
        node = str(document.get("node", "?"))
        return found(node, detail.removeprefix(f"node {node}: "), remedy=remedy, **data)
    return found(detail, remedy=remedy, **data)


def findings_of(error: errors.StokerError) -> list[dict[str, object]]:
    """The findings that came with an error, as JSON objects."""
    found = error.data.get("findings") or []
    return [cast("dict[str, object]", item) for item in found if isinstance(item, dict)]
