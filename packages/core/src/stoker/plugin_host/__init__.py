# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Installed plugin versions: unpacking, registry, and the one place that catches what a plugin does."""
