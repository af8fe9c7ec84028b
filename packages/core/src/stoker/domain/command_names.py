# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The first words of the command line that are the core's own: no plugin can take one for its commands."""

from __future__ import annotations

from typing import Final

CORE_COMMANDS: Final = frozenset(
    {
        "actions",
        "audit",
        "backup",
        "completion",
        "components",
        "credentials",
        "deploy",
        "deployments",
        "doctor",
        "env",
        "fleet",
        "help",
        "jobs",
        "lab",
        "login-link",
        "nodes",
        "plan",
        "plugins",
        "releases",
        "repositories",
        "restore",
        "serve",
        "systemd-unit",
        "tokens",
        "users",
        "version",
    }
)
