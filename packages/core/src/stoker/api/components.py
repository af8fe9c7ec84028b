# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Components: what can be chosen when an environment is made."""

from __future__ import annotations

from typing import Annotated

from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import FromQuery, QueryParameter

from stoker.api.openapi import problems
from stoker.services import components
from stoker.services.components import ChoiceView, ComponentsView
from stoker.services.context import ServerContext


@get("/", sync_to_thread=True, responses=problems(404))
def list_components(context: NamedDependency[ServerContext], release: FromQuery[str] = "") -> ComponentsView:
    """All components that installed plugins offer, and their groups; of one release with ``release=NAME``."""
    return components.list_all(context, release)


@get("/choice", sync_to_thread=True, responses=problems(404, 409, 422))
def solve_choice(
    context: NamedDependency[ServerContext],
    chosen: Annotated[list[str] | None, QueryParameter(description="A component; may be given several times.")] = None,
    release: FromQuery[str] = "",
) -> ChoiceView:
    """What follows from a choice: what comes along, what is open, what cannot be and why, and which plugins it enables."""
    return components.solve(context, chosen or [], release)


router = Router("/api/components", route_handlers=[list_components, solve_choice], tags=["components"])
