# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Problem documents (RFC 9457): every error of every route answers in this one shape."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException
from sqlalchemy.exc import DataError, SQLAlchemyError
from stoker_sdk.errors import ExpressionError, InvalidBundleError, InvalidPluginError, StokerSdkError
from stoker_sdk.model.finding import Finding

from stoker.db.faults import passes, reason
from stoker.errors import BadRequestError, DatabaseUnavailableError, StokerError, TooManyAttemptsError, UnderWayError

_LOG = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong: who, what, where, and the remedy."""

    type: str
    """``urn:stoker:problem:KIND``: a stable word for programs."""
    title: str
    status: int
    detail: str
    remedy: str = ""
    findings: list[object] = []
    """Each fault by itself, where there can be several."""


def problem_bytes(problem: Problem, extra: Mapping[str, object] | None = None) -> bytes:
    """The document as JSON."""
    document = {**(extra or {}), **msgspec.to_builtins(problem)}
    if not problem.findings:
        del document["findings"]
    return msgspec.json.encode(document, enc_hook=str)


def of_error(error: StokerError) -> tuple[Problem, dict[str, object]]:
    """The problem that an error of ours means, and its further fields."""
    data = dict(error.data)
    findings = data.pop("findings", [])
    problem = Problem(
        type=f"urn:stoker:problem:{error.kind}",
        title=error.kind.replace("-", " ").capitalize(),
        status=error.status,
        detail=error.detail,
        remedy=error.remedy,
        findings=list(findings) if isinstance(findings, (list, tuple)) else [],
    )
    return problem, data


def _respond(
    problem: Problem, extra: Mapping[str, object] | None = None, headers: Mapping[str, str] | None = None
) -> Response[bytes]:
    return Response(problem_bytes(problem, extra), status_code=problem.status, media_type=MEDIA_TYPE, headers=dict(headers or {}))


def _stoker(_request: Request[Any, Any, Any], error: StokerError) -> Response[bytes]:
    problem, extra = of_error(error)
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR and error.kind in ("internal", "configuration"):
        _LOG.error("%s", error, exc_info=error)
    return _respond(problem, extra, headers_of(error))


def headers_of(error: StokerError) -> dict[str, str]:
    """The headers that belong to an error's status."""
    if isinstance(error, TooManyAttemptsError | UnderWayError):
        return {"Retry-After": str(error.retry_after)}
    return {"WWW-Authenticate": "Bearer"} if error.status == HTTPStatus.UNAUTHORIZED else {}


def of_database(error: SQLAlchemyError) -> StokerError | None:
    """The error that a fault of the database means to a caller; ``None`` where it is a mistake of ours."""
    if passes(error):
        return DatabaseUnavailableError(
            f"the database cannot be used now: {reason(error)}", remedy="Try again; the server goes on as soon as it can be used."
        )
    if isinstance(error, DataError):
        return BadRequestError("the request has a value that cannot be stored.", remedy="Use smaller numbers and plain text.")
    return None


def _database(request: Request[Any, Any, Any], error: SQLAlchemyError) -> Response[bytes]:
    told = of_database(error)
    return _unexpected(request, error) if told is None else _stoker(request, told)


def _sdk(_request: Request[Any, Any, Any], error: StokerSdkError) -> Response[bytes]:
    kind, remedy, findings = "invalid-input", "Mend what is named.", []
    if isinstance(error, InvalidBundleError):
        kind, remedy = "invalid-bundle", error.remedy
        findings = [Finding(rule=error.rule, message=error.reason, remedy=error.remedy, file=error.member)]
    elif isinstance(error, InvalidPluginError):
        kind, remedy, findings = "invalid-plugin", "Mend the plugin.", list(error.findings)
    elif isinstance(error, ExpressionError):
        kind, remedy = "invalid-expression", "Mend the expression."
    return _respond(
        Problem(
            type=f"urn:stoker:problem:{kind}",
            title=kind.replace("-", " ").capitalize(),
            status=HTTPStatus.UNPROCESSABLE_ENTITY,
            detail=str(error),
            remedy=remedy,
            findings=list(findings),
        )
    )


def _http(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    status = HTTPStatus(error.status_code)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _unexpected(request, error)
    detail, remedy = error.detail, ""
    if status == HTTPStatus.NOT_FOUND:
        detail, remedy = f"there is nothing at {request.url.path}.", "/api/openapi.json lists all routes."
    elif status == HTTPStatus.METHOD_NOT_ALLOWED:
        detail, remedy = f"{request.method} is not possible at {request.url.path}.", "/api/openapi.json lists what is."
    elif status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        detail, remedy = "the body is larger than the server takes.", "Send less at once; only bundles may be large."
    elif status == HTTPStatus.BAD_REQUEST:
        remedy = "/api/openapi.json describes the request."
        if isinstance(error.extra, list) and error.extra:
            detail = "; ".join(_fault(item) for item in error.extra)
    kind = status.phrase.lower().replace(" ", "-")
    problem = Problem(type=f"urn:stoker:problem:{kind}", title=status.phrase, status=status, detail=detail, remedy=remedy)
    return _respond(problem, headers=error.headers)


def _fault(item: object) -> str:
    if isinstance(item, Mapping):
        key, message = str(item.get("key") or ""), str(item.get("message"))
        if key == "data":
            return "the request needs a body of JSON" if message == "'data'" else f"the body: {message}"
        if item.get("source") == "header":
            key = f"header {key.replace('_', '-').title()}"
        return f"{key}: {message}" if key else message
    return str(item)


def _unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    return _respond(*of_mistake(request.method, request.url.path, error))


def of_mistake(method: str, path: str, error: Exception) -> tuple[Problem, dict[str, object]]:
    """The problem that an error means which is none of ours: the log has it, the answer a number to find it by."""
    identity = secrets.token_hex(6)
    _LOG.error("error %s at %s %s", identity, method, path, exc_info=error)
    problem = Problem(
        type="urn:stoker:problem:internal",
        title="Internal error",
        status=HTTPStatus.INTERNAL_SERVER_ERROR,
        detail=f"the server made a mistake (error {identity}).",
        remedy="Its log has the details under this number; please report them.",
    )
    return problem, {"error": identity}


HANDLERS: dict[type[Exception] | int, Callable[..., Response[bytes]]] = {
    StokerError: _stoker,
    StokerSdkError: _sdk,
    SQLAlchemyError: _database,
    HTTPException: _http,
    Exception: _unexpected,
}
"""What Litestar calls for which error."""
