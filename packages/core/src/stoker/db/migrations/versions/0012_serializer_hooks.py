# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What serializer hooks add to objects, which hooks are in use, and what waits to be made anew."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go one state on."""
    identity = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "object_ext",
        sa.Column("object_id", sa.String(), primary_key=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("environment_id", sa.String(), sa.ForeignKey("environments.id", ondelete="CASCADE"), nullable=False),
        sa.Column("everybody", sa.Text(), nullable=False),
        sa.Column("operator", sa.Text(), nullable=True),
        sa.Column("admin", sa.Text(), nullable=True),
    )
    op.create_index("ix_object_ext_kind", "object_ext", ["kind"])
    op.create_index("ix_object_ext_environment_id", "object_ext", ["environment_id"])
    op.create_table(
        "serializer_hooks",
        sa.Column("environment_id", sa.String(), sa.ForeignKey("environments.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("plugin", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("inputs", sa.BigInteger(), nullable=False),
        sa.Column("records", sa.Text(), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("time_to_live", sa.Float(), nullable=False),
        sa.Column("made_of", sa.String(), nullable=False),
        sa.Column("published_at", sa.Float(), nullable=True),
        sa.Column("due_at", sa.Float(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("not_before", sa.Float(), nullable=False),
    )
    op.create_index("ix_serializer_hooks_plugin", "serializer_hooks", ["plugin"])
    op.create_table(
        "refresh_queue",
        sa.Column("id", identity, primary_key=True, autoincrement=True),
        sa.Column("environment_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("object_id", sa.String(), nullable=False),
        sa.Column("inputs", sa.BigInteger(), nullable=False),
        sa.Column("plugin", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sqlite_autoincrement=True,
    )
