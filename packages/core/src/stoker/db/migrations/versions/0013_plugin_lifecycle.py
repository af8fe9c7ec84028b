# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Several versions of a plugin: the default one, denied ones, those that environments had; agreements about the network."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go one state on."""
    op.add_column("plugins", sa.Column("network_agreed", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "plugin_defaults",
        sa.Column("plugin", sa.String(), primary_key=True),
        sa.Column("version", sa.String(), nullable=False),
    )
    op.create_table(
        "plugin_denials",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("versions", sa.String(), primary_key=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
    )
    identity = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "plugin_versions_before",
        sa.Column("id", identity, primary_key=True, autoincrement=True),
        sa.Column("environment_id", sa.String(), sa.ForeignKey("environments.id", ondelete="CASCADE"), nullable=False),
        sa.Column("plugin", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.Column("replaced_by", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
    )
    op.create_index("ix_plugin_versions_before_environment_id", "plugin_versions_before", ["environment_id"])
