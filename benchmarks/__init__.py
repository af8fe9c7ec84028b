# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Benchmarks: one command, a bound for each promise of speed, ratios against peers in the same run."""
