# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Modelled nodes: a transport to a fleet that runs in a process of its own."""

from __future__ import annotations

from stoker.transport.simulated.link import FleetClient, SimulatedLink, SimulatedTransport

__all__ = ["FleetClient", "SimulatedLink", "SimulatedTransport"]
