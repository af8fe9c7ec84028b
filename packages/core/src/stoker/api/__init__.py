# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The HTTP API: one router a resource, problem documents, authentication."""
