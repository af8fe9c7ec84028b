# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Tables, repositories and migrations, on SQLite and PostgreSQL."""
