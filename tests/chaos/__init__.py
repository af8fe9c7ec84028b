# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Chaos: kills the server and reboots nodes in the middle of deployments, and holds the promises against the nodes' own logs."""
