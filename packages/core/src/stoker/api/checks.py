# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Health checks on demand."""

from __future__ import annotations

from litestar import Router, post
from litestar.status_codes import HTTP_200_OK

from stoker.api.listing import Listing
from stoker.services import checks
from stoker.services.checks import CheckView
from stoker.services.context import ServerContext


@post("/environments/{environment:str}/checks", sync_to_thread=True, status_code=HTTP_200_OK)
def run_checks(context: ServerContext, environment: str) -> Listing[CheckView]:
    """Run every check of the environment's plugins now."""
    return Listing(checks.run(context, environment))


router = Router("/api", route_handlers=[run_checks], tags=["checks"])
