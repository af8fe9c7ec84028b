# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Snapshot to plan: merge, values, rendering, graph; pure, no I/O, run in a limited process."""
