# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The tables of jobs: runs of plugins' actions, and what they log."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, ForeignKey, Index, Integer, String, Table, Text

from stoker.db.shared import BigId, metadata

# Runs of plugins' actions. They outlive environment, node and plugin: names, no foreign keys.
jobs = Table(
    "jobs",
    metadata,
    Column("id", String, primary_key=True),
    Column("plugin", String, nullable=False),
    Column("version", String, nullable=False),
    Column("action", String, nullable=False),
    Column("title", String, nullable=False),
    Column("target", String, nullable=False),  # environment | node | server
    Column("object_id", String, nullable=False),
    Column("object", String, nullable=False),
    Column("environment_id", String, nullable=False),
    Column("environment", String, nullable=False),
    Column("form", Text, nullable=False),
    Column("state", String, nullable=False, index=True),  # queued running succeeded failed cancelled broken-off
    Column("progress", Float, nullable=False),
    Column("message", Text, nullable=False),
    Column("result", Text, nullable=True),
    Column("error", Text, nullable=False),
    Column("traceback", Text, nullable=False),
    Column("checkpoint", Text, nullable=True),
    Column("actor", String, nullable=False),
    Column("caller", Text, nullable=False),  # who it works for, as JSON
    Column("restartable", Boolean, nullable=False),
    Column("cancelled", Boolean, nullable=False),  # somebody wants it to end
    Column("deaths", Integer, nullable=False),  # how often its worker ended under it
    Column("ran", Float, nullable=False),  # seconds
    Column("created_at", Float, nullable=False, index=True),
    Column("started_at", Float, nullable=True),
    Column("finished_at", Float, nullable=True),
)

job_log = Table(
    "job_log",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("at", Float, nullable=False),
    Column("line", Text, nullable=False),
    Index("ix_job_log_job", "job_id", "id"),
)
