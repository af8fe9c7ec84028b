# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Plugins on this server: the store of installed bundles, what is in them, and processes with limits."""
