# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A deployment knows the environment's revision that it leaves behind."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go one state on."""
    op.add_column("deployments", sa.Column("revision", sa.Integer(), nullable=False, server_default="0"))
