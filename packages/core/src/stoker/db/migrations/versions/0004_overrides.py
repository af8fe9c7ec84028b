# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The operator's overrides."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go one state on."""
    op.create_table(
        "environment_overrides",
        sa.Column("environment_id", sa.String(), sa.ForeignKey("environments.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("path", sa.String(), primary_key=True),
        sa.Column("section", sa.String(), primary_key=True),
        sa.Column("key", sa.String(), primary_key=True),
        sa.Column("roles", sa.String(), primary_key=True),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
    )
