# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Plugins' records, and which generation of each collection is live."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go one state on."""
    place = ("plugin", "environment_id", "collection")
    op.create_table(
        "record_collections",
        *(sa.Column(name, sa.String(), primary_key=True) for name in place),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("schema_version", sa.Integer(), nullable=False),
        sa.Column("counter", sa.BigInteger(), nullable=False),
        sa.Column("documents", sa.Integer(), nullable=False),
        sa.Column("kept_generation", sa.Integer(), nullable=True),
        sa.Column("kept_schema_version", sa.Integer(), nullable=True),
        sa.Column("kept_counter", sa.BigInteger(), nullable=True),
        sa.Column("shadow_generation", sa.Integer(), nullable=True),
    )
    op.create_table(
        "plugin_records",
        *(sa.Column(name, sa.String(), primary_key=True) for name in place),
        sa.Column("generation", sa.Integer(), primary_key=True),
        sa.Column("key", sa.String(), primary_key=True),
        sa.Column("key_of", sa.String(), nullable=False),
        sa.Column("value", sa.Text().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.Float(), nullable=False),
    )
    op.create_index("ix_plugin_records_object", "plugin_records", ["key", "key_of"])
