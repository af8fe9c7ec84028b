# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Secrets that are halves of pairs keep their public part."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go one state on."""
    op.add_column("secrets", sa.Column("public", sa.Text(), nullable=False, server_default="{}"))
