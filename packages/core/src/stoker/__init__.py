# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Stoker's control plane."""

__version__ = "0.1.0"
