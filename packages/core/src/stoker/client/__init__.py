# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The API seen from outside: one method per endpoint, errors as in ``stoker.errors``."""

from __future__ import annotations

from stoker.client.api import StokerClient
from stoker.client.connection import DEFAULT_SERVER, ConnectionSettings, findings_of
from stoker.client.documents import FINAL_STATES

__all__ = ["DEFAULT_SERVER", "FINAL_STATES", "ConnectionSettings", "StokerClient", "findings_of"]
