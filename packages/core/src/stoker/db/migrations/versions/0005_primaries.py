# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The nodes that selectors of one node mean."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go one state on."""
    op.create_table(
        "environment_primaries",
        sa.Column("environment_id", sa.String(), sa.ForeignKey("environments.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("selector", sa.String(), primary_key=True),
        sa.Column("node_id", sa.String(), sa.ForeignKey("nodes.id", ondelete="CASCADE"), nullable=False),
    )
