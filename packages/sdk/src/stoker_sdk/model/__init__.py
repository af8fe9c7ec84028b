# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Frozen values that cross the border between a plugin and the core, and what several extension points share."""
