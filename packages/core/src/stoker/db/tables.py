# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""All tables of the database, for SQLite and PostgreSQL alike; Alembic's migrations lead here."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    false,
)
from sqlalchemy.dialects.postgresql import JSONB

from stoker.db import job_tables, shared

metadata, BigId = shared.metadata, shared.BigId

server_state = Table(
    "server_state",
    metadata,
    Column("key", String, primary_key=True),
    Column("value", Text, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("password", Text, nullable=False),  # argon2id
    Column("access", String, nullable=False),  # viewer | operator | admin
    Column("disabled", Boolean, nullable=False),
    Column("created_at", Float, nullable=False),
)

# Without a user: the server's own.
tokens = Table(
    "tokens",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("sha256", String, nullable=False, unique=True),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), nullable=True, index=True),
    Column("access", String, nullable=False),
    Column("environments", Text, nullable=True),  # names as JSON; null for all
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=True),
    Column("last_used_at", Float, nullable=True),
)

# Of browsers. One that began with a link ends with the token that made the link.
sessions = Table(
    "sessions",
    metadata,
    Column("id", String, primary_key=True),
    Column("sha256", String, nullable=False, unique=True),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), nullable=True, index=True),
    Column("access", String, nullable=False),
    Column("environments", Text, nullable=True),
    Column("token_id", ForeignKey("tokens.id", ondelete="CASCADE"), nullable=True, index=True),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("last_used_at", Float, nullable=False),
)

login_links = Table(
    "login_links",
    metadata,
    Column("sha256", String, primary_key=True),
    Column("token_id", ForeignKey("tokens.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("expires_at", Float, nullable=False),
)

failed_sign_ins = Table(
    "failed_sign_ins",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("who", String, nullable=False, index=True),  # a user's name or an address, hashed
    Column("at", Float, nullable=False, index=True),
)

plugins = Table(
    "plugins",
    metadata,
    Column("name", String, primary_key=True),
    Column("version", String, primary_key=True),
    Column("digest", String, nullable=False),
    Column("title", String, nullable=False),
    Column("manifest", Text, nullable=False),
    Column("path", String, nullable=False),
    Column("installed_at", Float, nullable=False),
    Column("network_agreed", Boolean, nullable=False, server_default=false()),  # an admin lets its code reach the network
)

# Which version is the server's default, where an admin chose it; else the newest.
plugin_defaults = Table(
    "plugin_defaults",
    metadata,
    Column("plugin", String, primary_key=True),
    Column("version", String, nullable=False),
)

plugin_denials = Table(
    "plugin_denials",
    metadata,
    Column("name", String, primary_key=True),
    Column("versions", String, primary_key=True),  # a specifier; empty for all
    Column("reason", Text, nullable=False),
    Column("actor", String, nullable=False),
    Column("at", Float, nullable=False),
)

environments = Table(
    "environments",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("created_at", Float, nullable=False),
    Column("revision", Integer, nullable=False, default=1),
)

environment_plugins = Table(
    "environment_plugins",
    metadata,
    Column("environment_id", ForeignKey("environments.id", ondelete="CASCADE"), primary_key=True),
    Column("plugin", String, primary_key=True),
    Column("version", String, nullable=False),
    Column("settings", Text, nullable=False, default="{}"),
    Column("state", String, nullable=False, default="enabled"),  # enabled | removing
    Column("warnings", Text, nullable=False, server_default="[]"),  # of the plugin's own check of its settings, JSON
)

# What serializer hooks add to a node, environment or deployment, encoded: one text for everybody who sees the object, and
# others for those who have more of the plugins' permissions, where these differ.
object_ext = Table(
    "object_ext",
    metadata,
    Column("object_id", String, primary_key=True),
    Column("kind", String, nullable=False, index=True),  # node | environment | deployment
    Column("environment_id", ForeignKey("environments.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("everybody", Text, nullable=False),
    Column("operator", Text, nullable=True),
    Column("admin", Text, nullable=True),
)

# The serializer hooks of the plugins that environments have enabled: what triggers and answers need to know of them.
serializer_hooks = Table(
    "serializer_hooks",
    metadata,
    Column("environment_id", ForeignKey("environments.id", ondelete="CASCADE"), primary_key=True),
    Column("plugin", String, primary_key=True, index=True),
    Column("name", String, primary_key=True),
    Column("target", String, nullable=False),
    Column("inputs", BigInteger, nullable=False),  # bits: stoker.db.refresh_queue
    Column("records", Text, nullable=False),  # collections: ",a,b,"
    Column("level", Integer, nullable=False),  # who sees it: stoker.domain.ext
    Column("time_to_live", Float, nullable=False),
    Column("made_of", String, nullable=False),  # plugin, version and settings that the hook works with
    Column("published_at", Float, nullable=True),
    Column("due_at", Float, nullable=True),  # when its time to live ends
    Column("failures", Integer, nullable=False),
    Column("reason", Text, nullable=False),  # of the last failure, if the last call was one
    Column("not_before", Float, nullable=False),  # when it may be called again
)

# What waits to be made anew; written by triggers (stoker.db.refresh_queue) in the transaction of the change.
refresh_queue = Table(
    "refresh_queue",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("environment_id", String, nullable=False),
    Column("kind", String, nullable=False),  # node | environment | deployment | record | hook | plugin
    Column("object_id", String, nullable=False),
    Column("inputs", BigInteger, nullable=False),
    Column("plugin", String, nullable=False),
    Column("name", String, nullable=False),  # of the hook or the collection
    sqlite_autoincrement=True,
)

# What an environment had of a plugin before it got another version: what a rollback returns to.
plugin_versions_before = Table(
    "plugin_versions_before",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("environment_id", ForeignKey("environments.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("plugin", String, nullable=False),
    Column("version", String, nullable=False),
    Column("settings", Text, nullable=False),
    Column("replaced_by", String, nullable=False),  # the version that came then
    Column("actor", String, nullable=False),
    Column("at", Float, nullable=False),
)

# Values with which the operator beats what plugins give to files.
environment_overrides = Table(
    "environment_overrides",
    metadata,
    Column("environment_id", ForeignKey("environments.id", ondelete="CASCADE"), primary_key=True),
    Column("path", String, primary_key=True),
    Column("section", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("roles", String, primary_key=True),  # joined by commas; * for all
    Column("value", Text, nullable=False),  # JSON
    Column("actor", String, nullable=False),
    Column("at", Float, nullable=False),
)

credentials = Table(
    "credentials",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("private_key", LargeBinary, nullable=False),  # encrypted
    Column("public_key", Text, nullable=False),
    Column("created_at", Float, nullable=False),
)

nodes = Table(
    "nodes",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("transport", String, nullable=False, default="ssh"),
    Column("address", String, nullable=False),
    Column("port", Integer, nullable=False, default=22),
    Column("user", String, nullable=False, default="root"),
    Column("sudo", Boolean, nullable=False, default=False),
    Column("credential_id", ForeignKey("credentials.id"), nullable=True),
    Column("jump_node_id", ForeignKey("nodes.id"), nullable=True),
    Column("host_key", Text, nullable=False, default=""),
    Column("environment_id", ForeignKey("environments.id"), nullable=True, index=True),
    Column("removing", Boolean, nullable=False, default=False),
    Column("status", String, nullable=False, default="new"),  # new | online | unreachable | error
    Column("status_reason", Text, nullable=False, default=""),
    Column("facts", Text, nullable=False, default="{}"),
    Column("facts_at", Float, nullable=True),
    Column("created_at", Float, nullable=False),
)

node_roles = Table(
    "node_roles",
    metadata,
    Column("node_id", ForeignKey("nodes.id", ondelete="CASCADE"), primary_key=True),
    Column("role", String, primary_key=True),
)

# The one node that a selector means, from the first deployment that uses it.
environment_primaries = Table(
    "environment_primaries",
    metadata,
    Column("environment_id", ForeignKey("environments.id", ondelete="CASCADE"), primary_key=True),
    Column("selector", String, primary_key=True),  # primary(ROLE) | once
    Column("node_id", ForeignKey("nodes.id", ondelete="CASCADE"), nullable=False),
)

secrets = Table(
    "secrets",
    metadata,
    Column("environment_id", ForeignKey("environments.id", ondelete="CASCADE"), primary_key=True),
    Column("plugin", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("value", LargeBinary, nullable=False),  # encrypted
    Column("public", Text, nullable=False, server_default="{}"),  # JSON: what of a pair anybody may know
    Column("generated", Boolean, nullable=False, default=False),
    Column("created_at", Float, nullable=False),
)

plans = Table(
    "plans",
    metadata,
    Column("id", String, primary_key=True),
    Column("environment_id", ForeignKey("environments.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("digest", String, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("summary", Text, nullable=False),
    Column("snapshot", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", Float, nullable=False),
)

deployments = Table(
    "deployments",
    metadata,
    Column("id", String, primary_key=True),
    Column("environment_id", ForeignKey("environments.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("plan_id", ForeignKey("plans.id"), nullable=False),
    Column("state", String, nullable=False),  # pending running stopping stopped ready degraded failed
    Column("reason", Text, nullable=False, default=""),
    Column("created_at", Float, nullable=False),
    Column("finished_at", Float, nullable=True),
    Column("retry_of", String, nullable=True),
    Column("epoch", Integer, nullable=False, default=0),
    Column("owner", String, nullable=False, default=""),
    Column("lease_until", Float, nullable=False, default=0.0),
    Column("stop_requested", Boolean, nullable=False, default=False),
    # The environment's while it runs, and what it leaves behind; any other one means that something was changed since.
    Column("revision", Integer, nullable=False, server_default="0"),
)

# One deployment of an environment at a time: the unfinished one holds this row.
environment_locks = Table(
    "environment_locks",
    metadata,
    Column("environment_id", ForeignKey("environments.id", ondelete="CASCADE"), primary_key=True),
    Column("deployment_id", ForeignKey("deployments.id", ondelete="CASCADE"), nullable=False),
)

# Append-only: the history of attempts and the live events are the same rows.
deployment_events = Table(
    "deployment_events",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("deployment_id", ForeignKey("deployments.id", ondelete="CASCADE"), nullable=False),
    Column("kind", String, nullable=False),  # state | node | dispatched | finished | skipped | unknown | note
    Column("node", String, nullable=False, default=""),
    Column("task", String, nullable=False, default=""),
    Column("attempt", Integer, nullable=False, default=0),
    Column("data", Text, nullable=False, default="{}"),
    Column("at", Float, nullable=False),
    Index("ix_deployment_events_deployment", "deployment_id", "id"),
)

applied_files = Table(
    "applied_files",
    metadata,
    Column("node_id", ForeignKey("nodes.id", ondelete="CASCADE"), primary_key=True),
    Column("path", String, primary_key=True),
    Column("data", Text, nullable=False),
)

applied_packages = Table(
    "applied_packages",
    metadata,
    Column("node_id", ForeignKey("nodes.id", ondelete="CASCADE"), primary_key=True),
    Column("package", String, primary_key=True),
    Column("data", Text, nullable=False),
)

applied_tasks = Table(
    "applied_tasks",
    metadata,
    Column("node_id", ForeignKey("nodes.id", ondelete="CASCADE"), primary_key=True),
    Column("task", String, primary_key=True),
    Column("inputs", String, nullable=False),
)

# Append-only, which triggers see to: who changed what. Names, not foreign keys: it outlives what it tells of.
audit_log = Table(
    "audit_log",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False, index=True),
    Column("actor_kind", String, nullable=False),  # user | server | system | stranger
    Column("actor", String, nullable=False),
    Column("token", String, nullable=False),
    Column("address", String, nullable=False),
    Column("request_id", String, nullable=False),
    Column("action", String, nullable=False),
    Column("object_kind", String, nullable=False),
    Column("object_id", String, nullable=False),
    Column("object", String, nullable=False),
    Column("environment", String, nullable=False),
    Column("before", Text, nullable=True),
    Column("after", Text, nullable=True),
)

# The OpenPGP key that signs the package repositories of plugins: one row, made when the first such plugin comes.
repository_keys = Table(
    "repository_keys",
    metadata,
    Column("fingerprint", String, primary_key=True),
    Column("public_key", Text, nullable=False),
    Column("private_key", LargeBinary, nullable=False),
    Column("created_at", Float, nullable=False),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("caller", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("fingerprint", String, nullable=False),
    Column("status", Integer, nullable=False),  # 0 while the request is under way
    Column("headers", Text, nullable=False),
    Column("body", LargeBinary, nullable=True),  # encrypted; nothing if the answer is not kept
    Column("at", Float, nullable=False, index=True),
    Column("lease_until", Float, nullable=False),
)

# What has become different, for who follows it; written by triggers (stoker.db.changes), bounded.
changes = Table(
    "changes",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("kind", String, nullable=False),
    Column("action", String, nullable=False),  # added | changed | removed | progress
    Column("object_id", String, nullable=False),
    Column("object", String, nullable=False),
    Column("environment_id", String, nullable=False),
    Column("data", Text, nullable=False),
    Index("ix_changes_kind", "kind", "id"),
)

# Hooks of plugins that failed too often and are skipped for now (stoker.plugin_host.quarantine); what is not here is called.
hook_quarantine = Table(
    "hook_quarantine",
    metadata,
    Column("plugin", String, primary_key=True),
    Column("version", String, primary_key=True),
    Column("point", String, primary_key=True),
    Column("hook", String, primary_key=True),
    Column("environment_id", String, primary_key=True),  # empty: the plugin works for the whole server
    Column("failures", Integer, nullable=False),
    Column("openings", Integer, nullable=False),
    Column("since", Float, nullable=False),
    Column("next_try", Float, nullable=False),
    Column("reason", Text, nullable=False),
    Column("traceback", Text, nullable=False),
    ForeignKeyConstraint(["plugin", "version"], ["plugins.name", "plugins.version"], ondelete="CASCADE"),
)

jobs, job_log = job_tables.jobs, job_tables.job_log

# Which events the handlers of installed plugins hear of: made from manifests, so that the triggers can ask.
plugin_event_interests = Table(
    "plugin_event_interests",
    metadata,
    Column("event", String, primary_key=True),
    Column("plugin", String, primary_key=True),
    Column("version", String, primary_key=True),
    ForeignKeyConstraint(["plugin", "version"], ["plugins.name", "plugins.version"], ondelete="CASCADE"),
)

# Events that plugins are still to be told; written by triggers (stoker.db.event_triggers) in the transaction of the change.
plugin_events = Table(
    "plugin_events",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("event", String, nullable=False),
    Column("plugin", String, nullable=False),
    Column("version", String, nullable=False),  # empty: the one that is used when it is told
    Column("environment_id", String, nullable=False),  # empty: the whole server
    Column("environment", String, nullable=False),  # its name, which outlives it
    Column("object_id", String, nullable=False),
    Column("object", String, nullable=False),
    Column("data", Text, nullable=False),  # JSON
    Column("told", Text, nullable=False),  # names of the handlers that have heard it, JSON
    Column("attempts", Integer, nullable=False),
    Column("next_try", Float, nullable=False),
    Column("reason", Text, nullable=False),  # of the last failure
    Index("ix_plugin_events_queue", "plugin", "environment_id", "object_id", "id"),
    sqlite_autoincrement=True,  # a number is never given again: later events have larger ones
)

# Collections of plugins' records: environment_id is empty for those of the whole server.
record_collections = Table(
    "record_collections",
    metadata,
    Column("plugin", String, primary_key=True),
    Column("environment_id", String, primary_key=True),
    Column("collection", String, primary_key=True),
    Column("generation", Integer, nullable=False),  # the live one
    Column("schema_version", Integer, nullable=False),
    Column("counter", BigInteger, nullable=False),  # the newest revision
    Column("documents", Integer, nullable=False),  # at most so many
    Column("kept_generation", Integer, nullable=True),  # from before the last migration
    Column("kept_schema_version", Integer, nullable=True),
    Column("kept_counter", BigInteger, nullable=True),  # the newest revision when that one went live
    Column("shadow_generation", Integer, nullable=True),  # being written by a migration
)

plugin_records = Table(
    "plugin_records",
    metadata,
    Column("plugin", String, primary_key=True),
    Column("environment_id", String, primary_key=True),
    Column("collection", String, primary_key=True),
    Column("generation", Integer, primary_key=True),
    Column("key", String, primary_key=True),
    Column("key_of", String, nullable=False),  # node | environment | deployment: it goes with that object
    Column("value", Text().with_variant(JSONB(), "postgresql"), nullable=False),  # JSON, read as text
    Column("revision", BigInteger, nullable=False),
    Column("source", BigInteger, nullable=False),  # of a migrated one: the revision that it was made of; else 0
    Column("changed_at", Float, nullable=False),
    Index("ix_plugin_records_object", "key", "key_of"),
)
