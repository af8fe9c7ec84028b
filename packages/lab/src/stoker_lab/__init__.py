# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Disposable Debian nodes on this machine, for trying and testing Stoker; not for production controllers."""
