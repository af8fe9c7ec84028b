# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Users, tokens with an owner and an end, browser sessions, one-time links, failed sign-ins."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def _scope() -> list[sa.Column[object]]:
    """Whose it is, and what it may do."""
    return [
        sa.Column("user_id", sa.String(), sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=True, index=True),
        sa.Column("access", sa.String(), nullable=False),
        sa.Column("environments", sa.Text(), nullable=True),
    ]


def upgrade() -> None:
    """Go one state on; the admin token comes back from its file at the next start."""
    op.create_table(
        "users",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False, unique=True),
        sa.Column("password", sa.Text(), nullable=False),
        sa.Column("access", sa.String(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
    )
    op.drop_table("tokens")
    op.create_table(
        "tokens",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False, unique=True),
        *_scope(),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=True),
        sa.Column("last_used_at", sa.Float(), nullable=True),
    )
    op.create_table(
        "sessions",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("sha256", sa.String(), nullable=False, unique=True),
        *_scope(),
        sa.Column("token_id", sa.String(), sa.ForeignKey("tokens.id", ondelete="CASCADE"), nullable=True, index=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.Column("last_used_at", sa.Float(), nullable=False),
    )
    op.create_table(
        "login_links",
        sa.Column("sha256", sa.String(), primary_key=True),
        sa.Column("token_id", sa.String(), sa.ForeignKey("tokens.id", ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("expires_at", sa.Float(), nullable=False),
    )
    op.create_table(
        "failed_sign_ins",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("who", sa.String(), nullable=False, index=True),
        sa.Column("at", sa.Float(), nullable=False, index=True),
    )
