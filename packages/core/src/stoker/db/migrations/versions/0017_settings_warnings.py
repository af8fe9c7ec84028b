# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What plugins' own checks said of stored settings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go one state on."""
    op.add_column("environment_plugins", sa.Column("warnings", sa.Text(), nullable=False, server_default="[]"))
