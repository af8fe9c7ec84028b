# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Reaching nodes over SSH: one connection, one long-lived shell, attempts that outlive both."""

from __future__ import annotations

from stoker.transport.ssh.connecting import SshTransport

__all__ = ["SshTransport"]
