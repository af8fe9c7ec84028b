# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What all tables share: the collection that they are in, and the type of keys that count themselves."""

from __future__ import annotations

from sqlalchemy import BigInteger, Integer, MetaData

metadata = MetaData()

BigId = BigInteger().with_variant(Integer, "sqlite")
"""An auto-incremented key: SQLite wants INTEGER for that."""
