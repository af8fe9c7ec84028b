# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The composition root: puts a server's parts together and runs it, in one process or several."""

from stoker.app.composition import build_app, build_context, open_database, open_vault, routers

__all__ = ["build_app", "build_context", "open_database", "open_vault", "routers"]
