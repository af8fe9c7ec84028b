# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Readiness: whether the server can do its work now; strangers learn which part fails, the log has the reason."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from stoker.db import migrations
from stoker.db.faults import reason
from stoker.errors import StokerError
from stoker.services.context import ServerContext

_LOG = logging.getLogger(__name__)


class NotReadyError(StokerError):
    """The server cannot do its work now."""

    status = 503
    kind = "not-ready"


def refuse_unready(context: ServerContext) -> None:
    """Look at every part that work needs.

    Raises:
        NotReadyError: some cannot be used; their names are in ``parts``.
    """
    broken = {part: told for part, look in PARTS.items() if (told := look(context))}
    if not broken:
        return
    for part, told in broken.items():
        _LOG.warning("not ready: %s: %s", part, told)
    raise NotReadyError(
        f"the server is not ready: {', '.join(broken)}.",
        remedy="Its log says why; 'stoker doctor' looks closer.",
        parts=list(broken),
    )


def database(context: ServerContext) -> str:
    """Why the database cannot be used; empty if it can."""
    try:
        with context.database.read() as connection:
            found, wanted = migrations.revisions(connection)
    except SQLAlchemyError as error:
        return reason(error)
    return "" if found == wanted else f"its tables are at {found or 'nothing'}, this version needs {wanted}"


def orchestrator(context: ServerContext) -> str:
    """Why deployments would not be carried out."""
    owner = context.orchestrator
    return "" if owner is None or owner.at_work else "it does not run"


def disk(context: ServerContext) -> str:
    """Whether the data folder is full."""
    try:
        free = shutil.disk_usage(context.config.data_dir).free
    except OSError as error:
        return str(error.strerror)
    least = context.config.least_free_bytes
    return "" if free >= least else f"{free:,} bytes are free in {context.config.data_dir}, {least:,} are wanted"


PARTS: Final[dict[str, Callable[[ServerContext], str]]] = {"database": database, "orchestrator": orchestrator, "disk": disk}
"""What is looked at."""
