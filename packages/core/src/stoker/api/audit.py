# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The audit: who changed what; read by operators, taken away by admins."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from litestar import Request, Response, Router, get
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec
from litestar.params import QueryParameter
from litestar.response import Stream

from stoker.api.openapi import also_answers, problems
from stoker.api.paging import HEADERS, Cursor, Limit, Page, page, window
from stoker.api.rights import ADMIN, OPERATOR
from stoker.services import audit_views
from stoker.services.audit_views import AuditFilter, AuditView, Format
from stoker.services.context import ServerContext
from stoker.services.windows import MOST

Actor: TypeAlias = Annotated[str, QueryParameter(description="A user's name; `server` or `stoker`.")]
Action: TypeAlias = Annotated[str, QueryParameter(description="An action (`node.assign`), or a kind of object (`node`).")]
Object: TypeAlias = Annotated[str, QueryParameter(description="The object's name or id.")]
Environment: TypeAlias = Annotated[str, QueryParameter(description="The environment's name, also of one that is gone.")]
Since: TypeAlias = Annotated[float | None, QueryParameter(description="Entries of this moment and later.")]
Until: TypeAlias = Annotated[float | None, QueryParameter(description="Entries before this moment.")]
_KINDS = {"jsonl": "application/x-ndjson", "csv": "text/csv"}
_FILE = ResponseSpec(str, generate_examples=False, description="The entries, oldest first.", media_type="application/x-ndjson")


@get("/", opt=OPERATOR, sync_to_thread=True, responses=problems(), response_headers=HEADERS)
def list_audit(
    context: NamedDependency[ServerContext],
    request: Request[Any, Any, Any],
    actor: Actor = "",
    action: Action = "",
    object: Object = "",  # noqa: A002  the parameter's name in the API
    environment: Environment = "",
    since: Since = None,
    until: Until = None,
    limit: Limit = MOST,
    cursor: Cursor = "",
) -> Response[Page[AuditView]]:
    """Changes, newest first; those that fit all filters."""
    wanted = AuditFilter(actor=actor, action=action, object=object, environment=environment, since=since, until=until)
    return page(request, audit_views.list_entries(context, window(request, limit, cursor, int), wanted))


@get("/export", opt={**ADMIN, **also_answers("text/csv")}, sync_to_thread=False, responses={200: _FILE, **problems()})
def export_audit(
    context: NamedDependency[ServerContext],
    form: Annotated[Format, QueryParameter(name="format", description="`jsonl`, or `csv` for spreadsheets.")] = "jsonl",
    actor: Actor = "",
    action: Action = "",
    object: Object = "",  # noqa: A002  the parameter's name in the API
    environment: Environment = "",
    since: Since = None,
    until: Until = None,
) -> Stream:
    """All changes that fit all filters, oldest first: a line of JSON for each, or CSV without formulas."""
    wanted = AuditFilter(actor=actor, action=action, object=object, environment=environment, since=since, until=until)
    return Stream(
        audit_views.export(context, wanted, form),
        media_type=_KINDS[form],
        headers={"Content-Disposition": f'attachment; filename="stoker-audit.{form}"', "Cache-Control": "no-store"},
    )


router = Router("/api/audit", route_handlers=[list_audit, export_audit], tags=["audit"])
