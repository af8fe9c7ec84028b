# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Metrics for Prometheus."""

from __future__ import annotations

from litestar import Response, Router, get
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec

from stoker.api.openapi import problems
from stoker.services import figures
from stoker.services.context import ServerContext
from stoker.telemetry.metrics import CONTENT_TYPE

_TEXT = ResponseSpec(str, generate_examples=False, description="Prometheus' text format.", media_type="text/plain")


@get("/metrics", sync_to_thread=True, responses={200: _TEXT, **problems()})
def show_metrics(context: NamedDependency[ServerContext]) -> Response[bytes]:
    """Every figure in Prometheus' text format; with ``metrics_without_token`` for everybody who reaches the server."""
    return Response(figures.exposition(context), media_type=CONTENT_TYPE)


router = Router("/", route_handlers=[show_metrics], tags=["system"])
