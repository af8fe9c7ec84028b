# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Plugins in an environment: enabled, changed, disabled; checked all together before anything is changed."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, Row, insert, update
from stoker_sdk.model.finding import Finding

from stoker.db import tables
from stoker.db.environments import (
    bump_revision,
    drop_plugin,
    enabled_plugins,
    find_environment,
    plugin_was_deployed,
    refuse_while_deploying,
)
from stoker.db.plugin_denials import read_denials
from stoker.db.plugins import default_version, find_plugin
from stoker.db.quarantine import drop_quarantined
from stoker.db.serializer_hooks import settle
from stoker.domain import settings
from stoker.domain.plugin_denial import refuse_denied
from stoker.domain.settings import Document
from stoker.domain.snapshot import PluginInput
from stoker.errors import ConflictError, InvalidInputError, NotFoundError
from stoker.plugin_host import planning_process
from stoker.services import audit, plugin_events
from stoker.services.context import ServerContext
from stoker.services.moving_records import Moving, moving
from stoker.services.plugin_history import keep_version_before
from stoker.services.plugin_inputs import Candidate, input_of
from stoker.services.plugin_resolution import in_words, ways_out
from stoker.services.plugin_settings import settings_schema
from stoker.services.quarantine import begin_anew
from stoker.services.secrets import SecretStore, public_parts
from stoker.services.settings_checks import check_settings
from stoker.services.tags import refuse_outdated, tag

_LOG = logging.getLogger(__name__)
_TRIES = 3


class EnabledPluginView(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin in an environment."""

    name: str
    version: str
    state: str
    """``enabled``, or ``removing`` until the next deployment has taken it from the nodes."""
    settings: dict[str, object]
    """As the operator gave them; secrets stand as ``{"$secret": PATH, "version": N}``."""
    effective_settings: dict[str, object]
    """With defaults filled in."""
    public: dict[str, object]
    """What anybody may know of generated pairs: public keys and certificates, in the shape of the settings."""
    problems: list[Finding]
    """What is still missing before a plan can be made."""
    settings_schema: dict[str, object]
    """JSON Schema of the settings."""
    warnings: list[Finding] = []
    """What the plugin's own check of its settings said when they were stored."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin that an environment shall have."""

    plugin: str
    version: str | None = None
    """Which one; the one it has, or the server's default one, if not given."""
    settings: Document | None = None
    """The whole settings document; the one it has if not given."""


def list_all(context: ServerContext, environment: str) -> list[EnabledPluginView]:
    """The plugins of an environment, by name. Raises NotFoundError."""
    with context.database.read() as connection:
        return _views(connection, find_environment(connection, environment).id)


def show(context: ServerContext, environment: str, plugin: str) -> EnabledPluginView:
    """One plugin of an environment. Raises NotFoundError."""
    with context.database.read() as connection:
        return _one(connection, find_environment(connection, environment), plugin)


def incomplete(connection: Connection, environment_id: str) -> list[Finding]:
    """What is missing in the settings of all plugins of an environment: it blocks a plan."""
    return [problem for view in _views(connection, environment_id) if view.state == "enabled" for problem in view.problems]


def plugin_inputs(context: ServerContext, connection: Connection, environment_id: str) -> list[PluginInput]:
    """The environment's plugins as planning sees them, ordered by name."""
    return [input_of(context, candidate) for candidate in _candidates(connection, environment_id)]


def enable(
    context: ServerContext,
    environment: str,
    plugin: str,
    version: str | None = None,
    given: Document | None = None,
    *,
    if_match: str = "",
) -> EnabledPluginView:
    """Enable a plugin, or change its version or settings; refused as a whole if anything clashes.

    Args:
        context: the server.
        environment: its id or name.
        plugin: the plugin's name.
        version: which one; the one it has, or the server's default one, if not given.
        given: the whole settings document; the one it has if not given.
        if_match: the state for which this is an edit, as a tag in quotes; empty for any.

    Raises:
        NotFoundError: environment, plugin or version is not there.
        InvalidInputError: settings do not fit; each field is named.
        ConflictError: it clashes with other plugins; all findings are given. Or a running deployment takes it from the nodes, or
            needs the version that it has. Or its records cannot be migrated.
        OutdatedEditError: it is in another state than ``if_match`` names.
    """
    return enable_with_records(context, environment, plugin, version, given, if_match=if_match)[0]


def enable_with_records(
    context: ServerContext,
    environment: str,
    plugin: str,
    version: str | None = None,
    given: Document | None = None,
    *,
    if_match: str = "",
    returning_to: int = 0,
    discard_records: bool = False,
) -> tuple[EnabledPluginView, Moving]:
    """Like ``enable``; also what became of the plugin's records.

    Args:
        context: the server.
        environment: its id or name.
        plugin: the plugin's name.
        version: which one.
        given: the whole settings document.
        if_match: the state for which this is an edit.
        returning_to: what it returns to, as the history of its versions numbers it.
        discard_records: lose what was written to records since then.
    """
    for _ in range(_TRIES):
        home, candidates, candidate = look_into(context, environment, plugin, version, given, if_match=if_match)
        with context.database.read() as connection:
            refuse_what_would_be_lost(connection, home, candidates, candidate)
        with (
            moving(context, home, candidates, [candidate], back=bool(returning_to), discard=discard_records) as records,
            context.database.transaction() as connection,
        ):
            if find_environment(connection, home.id).revision != home.revision:
                continue  # somebody changed the environment while we checked: check again
            refuse_what_would_be_lost(connection, home, candidates, candidate)
            if not any((other.plugin, other.version) == (plugin, candidate.version) for other in candidates):
                begin_anew(context, home.id, plugin)
            records.go_live(connection)
            return _keep(context, connection, home, candidate, returning_to), records
    raise ConflictError(f"environment {environment} is changed by others all the time.", remedy="Try again in a moment.")


def look_into(
    context: ServerContext, environment: str, plugin: str, version: str | None, given: Document | None, *, if_match: str = ""
) -> tuple[Row[tuple[object, ...]], list[Candidate], Candidate]:
    """Everything that ``enable`` checks before it changes anything: the environment, its plugins, and the one as it would be.

    Raises what ``enable`` raises.
    """
    with context.database.read() as connection:
        home = find_environment(connection, environment)
        _refuse_outdated_plugin(connection, if_match, home, plugin)
        candidates = _candidates(connection, home.id)
        candidate = _changed(connection, home.id, candidates, plugin, version, given)
    looked = candidate.looked
    if looked.faults:
        raise InvalidInputError(
            f"plugin {plugin} {candidate.version}: {len(looked.faults)} of its settings do not fit: "
            f"{'; '.join(finding.message for finding in looked.faults[:5])}",
            remedy="Mend the fields that are named.",
            findings=looked.faults,
        )
    together = sorted([other for other in candidates if other.plugin != plugin] + [candidate], key=lambda item: item.plugin)
    check_together(context, home.name, together, f"enabling plugin {plugin} {candidate.version}", chosen=plugin)
    check_settings(context, home, home.name, [candidate])
    return home, candidates, candidate


def change_of(
    context: ServerContext, environment: str, plugin: str, version: str | None, given: Document | None
) -> tuple[Candidate, Candidate]:
    """A plugin that is enabled, and as it would be in another version, whether that can be or not.

    Args:
        context: the server.
        environment: its id or name.
        plugin: the plugin's name.
        version: the server's default one if not given.
        given: the whole settings document; the one it has if not given.

    Raises:
        NotFoundError: it is not enabled there, or the version is not installed.
        ConflictError: the version is denied.
    """
    with context.database.read() as connection:
        home = find_environment(connection, environment)
        _one(connection, home, plugin)
        candidates = _candidates(connection, home.id)
        old = next(candidate for candidate in candidates if candidate.plugin == plugin)
        wanted = version or default_version(connection, plugin)
        return old, _changed(connection, home.id, candidates, plugin, wanted, given)


def candidates_for(
    connection: Connection, environment_id: str, wanted: Sequence[Wanted]
) -> tuple[list[Candidate], list[Finding]]:
    """Plugins as they would be, and a finding for each that is not installed and each setting that does not fit.

    Args:
        connection: to the database.
        environment_id: the environment's; empty for one that is not made yet.
        wanted: all plugins that it shall have; their order does not matter.
    """
    present = _candidates(connection, environment_id)
    found: list[Candidate] = []
    findings: list[Finding] = []
    for item in sorted(wanted, key=lambda item: item.plugin):
        try:
            candidate = _changed(connection, environment_id, present, item.plugin, item.version, item.settings)
        except NotFoundError as error:
            findings.append(Finding(rule="J002", plugin=item.plugin, field="plugins", message=error.detail, remedy=error.remedy))
            continue
        findings += candidate.looked.faults
        found.append(candidate)
    return found, findings


def present(connection: Connection, environment_id: str) -> list[Candidate]:
    """The environment's plugins as they are."""
    return _candidates(connection, environment_id)


def inputs_of(context: ServerContext, candidates: Sequence[Candidate]) -> list[PluginInput]:
    """Candidates as planning would see them."""
    return [input_of(context, candidate) for candidate in candidates]


def arrange(
    context: ServerContext, connection: Connection, home: Row[tuple[object, ...]], candidates: Sequence[Candidate]
) -> None:
    """Let an environment have exactly these plugins, which were checked together, inside of a larger change.

    Raises:
        ConflictError: a running deployment would lose something.
    """
    present = {candidate.plugin: candidate for candidate in _candidates(connection, home.id)}
    for candidate in candidates:
        refuse_what_would_be_lost(connection, home, list(present.values()), candidate)
        _keep(context, connection, home, candidate)
    for plugin in sorted(present.keys() - {candidate.plugin for candidate in candidates}):
        if not present[plugin].removing:
            _leave(connection, home, plugin)


def refuse_what_would_be_lost(
    connection: Connection, home: Row[tuple[object, ...]], candidates: list[Candidate], candidate: Candidate
) -> None:
    """Raise ConflictError if a running deployment would lose something; other settings and plugins concern the next plan only."""
    old = next((other for other in candidates if other.plugin == candidate.plugin), None)
    if old is None:
        return
    if old.removing:
        refuse_while_deploying(connection, home.id, home.name, f"enabling plugin {old.plugin}, which is being removed,")
    if old.version != candidate.version:  # the files of the old one are needed until the end
        refuse_while_deploying(connection, home.id, home.name, f"changing the version of plugin {old.plugin}")


def _refuse_outdated_plugin(connection: Connection, if_match: str, home: Row[tuple[object, ...]], plugin: str) -> None:
    if not if_match:
        return
    present = next((tag(view) for view in _views(connection, home.id) if view.name == plugin), None)
    what = f"plugin {plugin} in environment {home.name}"
    refuse_outdated(connection, if_match, present, what, kind="plugin", identity=plugin, environment=home.name)


def disable(context: ServerContext, environment: str, plugin: str, *, if_match: str = "") -> EnabledPluginView | None:
    """Disable a plugin: gone at once if nothing of it was deployed, else with the next deployment.

    Raises:
        NotFoundError: it is not enabled there.
        ConflictError: other plugins need it, or a deployment runs.
        OutdatedEditError: it is in another state than ``if_match`` names.
    """
    with context.database.read() as connection:
        home = find_environment(connection, environment)
        _refuse_outdated_plugin(connection, if_match, home, plugin)
        _one(connection, home, plugin)
        candidates = _candidates(connection, home.id)
        rest = [candidate for candidate in candidates if candidate.plugin != plugin]
        refuse_while_deploying(connection, home.id, home.name, f"disabling plugin {plugin}")
    check_together(context, home.name, rest, f"disabling plugin {plugin}", leaving=plugin)
    for leaving in candidates:
        if leaving.plugin == plugin and not leaving.removing:
            plugin_events.farewell(context, "plugin.disabled", plugin, leaving.version, home)
    with context.database.transaction() as connection:
        _refuse_outdated_plugin(connection, if_match, home, plugin)
        if _leave(connection, home, plugin):
            return None
        return _one(connection, find_environment(connection, home.id), plugin)


def say_farewell(context: ServerContext, home: Row[tuple[object, ...]], staying: Sequence[str] = ()) -> None:
    """Tell the plugins of an environment that are about to go, before the change that takes them away."""
    with context.database.read() as connection:
        used = enabled_plugins(connection, home.id)
    for row in used:
        if row.state == "enabled" and row.plugin not in staying:
            plugin_events.farewell(context, "plugin.disabled", row.plugin, row.version, home)


def _leave(connection: Connection, home: Row[tuple[object, ...]], plugin: str) -> bool:
    """Let a plugin go, at once or with the next deployment; whether it is gone."""
    refuse_while_deploying(connection, home.id, home.name, f"disabling plugin {plugin}")
    before = _audited(connection, home.id, plugin)
    gone = not plugin_was_deployed(connection, home.id, plugin)
    after = None if gone else {**(before or {}), "state": "removing"}
    audit.record(connection, "plugin.disable", plugin, plugin, environment=home.name, before=before, after=after)
    plugin_events.drop(connection, plugin, home=home)
    if gone:
        drop_plugin(connection, home.id, plugin)
        return True
    table = tables.environment_plugins
    connection.execute(update(table).where(table.c.environment_id == home.id, table.c.plugin == plugin).values(state="removing"))
    settle(connection, home.id, plugin)
    bump_revision(connection, home.id)
    return False


def _changed(
    connection: Connection,
    environment_id: str,
    candidates: list[Candidate],
    plugin: str,
    version: str | None,
    given: Document | None,
) -> Candidate:
    old = next((candidate for candidate in candidates if candidate.plugin == plugin), None)
    row = find_plugin(connection, plugin, version or (old.version if old else None))
    if old is None or old.removing or old.version != row.version:  # what it has already it may keep
        refuse_denied(read_denials(connection), plugin, row.version)
    kept = old.settings if old else {}
    return _candidate(connection, environment_id, plugin, row, kept if given is None else _with_kept(given, kept), removing=False)


def _with_kept(given: Document, kept: Document) -> Document:
    """Fill ``{"$secret": true}`` ("keep it") with the reference that stands there now."""
    filled: Document = msgspec.json.decode(msgspec.json.encode(given))
    for path, reference in list(settings.references(filled)):
        old = settings.get(kept, path)
        if not isinstance(reference.get(settings.SECRET), str) and old is not None and settings.is_reference(old):
            settings.put(filled, path, old)
    return filled


def check_together(
    context: ServerContext, environment: str, candidates: list[Candidate], what: str, *, chosen: str = "", leaving: str = ""
) -> None:
    """Raise ConflictError if plugins cannot be enabled together; all findings are given, and what would make it fit."""
    inputs = [input_of(context, candidate) for candidate in candidates if not candidate.removing]
    limits = planning_process.Limits(memory_bytes=context.config.planning_memory_bytes, seconds=context.config.planning_seconds)
    answer = context.wait(planning_process.run_in_process("check", msgspec.json.encode(inputs), limits))
    findings = [finding for finding in msgspec.json.decode(answer, type=list[Finding]) if finding.severity == "error"]
    if findings:
        shown = "\n".join(str(finding) for finding in findings)
        enabled = {item.name: item.version for item in inputs}
        with context.database.read() as connection:
            resolution = ways_out(connection, findings, enabled, chosen=chosen, without=[leaving] if leaving else [])
        raise ConflictError(
            f"environment {environment}: {what} is refused:\n{shown}",
            remedy=f"Nothing was changed. {in_words(resolution) or 'Follow the remedy of each finding.'}",
            findings=findings,
            resolution=resolution,
        )


def _audited(connection: Connection, environment_id: str, plugin: str) -> dict[str, object] | None:
    """What the audit tells of a plugin in an environment: secrets stand in its settings as references."""
    row = next((row for row in enabled_plugins(connection, environment_id) if row.plugin == plugin), None)
    if row is None:
        return None
    return {"version": row.version, "state": row.state, "settings": msgspec.json.decode(row.settings)}


def _keep(
    context: ServerContext,
    connection: Connection,
    home: Row[tuple[object, ...]],
    candidate: Candidate,
    returning_to: int = 0,
) -> EnabledPluginView:
    environment_id, plugin = home.id, candidate.plugin
    find_plugin(connection, candidate.plugin, candidate.version)  # it may have been uninstalled while we checked
    store = SecretStore(connection, context.vault, environment_id, candidate.plugin)
    document = store.take_out(candidate.settings, candidate.looked)
    before = _audited(connection, environment_id, plugin)
    if before == {"version": candidate.version, "state": "enabled", "settings": document}:
        return _one(connection, find_environment(connection, environment_id), plugin)
    action = keep_version_before(connection, home, plugin, before, candidate.version, returning_to)
    table = tables.environment_plugins
    values = {"version": candidate.version, "settings": msgspec.json.encode(document).decode(), "state": "enabled"}
    values["warnings"] = msgspec.json.encode(candidate.warnings).decode()
    if before is None:
        connection.execute(insert(table).values(environment_id=environment_id, plugin=plugin, **values))
    else:
        mine = (table.c.environment_id == environment_id, table.c.plugin == plugin)
        connection.execute(update(table).where(*mine).values(**values))
    if before is not None and before["version"] != candidate.version:
        drop_quarantined(connection, {"environment_id": environment_id, "plugin": plugin})
    settle(connection, environment_id, plugin)
    bump_revision(connection, environment_id)
    after = _audited(connection, environment_id, plugin)
    audit.record(connection, action, plugin, plugin, environment=home.name, before=before, after=after)
    told = {"environment": home.name, "plugin": plugin}
    _LOG.info("environment %s: plugin %s %s enabled", home.name, plugin, candidate.version, extra=told)
    return _one(connection, find_environment(connection, environment_id), plugin)


def _candidates(connection: Connection, environment_id: str) -> list[Candidate]:
    return [
        _candidate(
            connection, environment_id, row.plugin, row, msgspec.json.decode(row.settings), removing=row.state == "removing"
        )
        for row in enabled_plugins(connection, environment_id)
    ]


def _candidate(
    connection: Connection,
    environment_id: str,
    plugin: str,
    row: Row[tuple[object, ...]],
    document: Document,
    *,
    removing: bool,
) -> Candidate:
    looked = settings.look_through(plugin, settings_schema(row.manifest), document)
    return Candidate(
        plugin=plugin,
        version=row.version,
        digest=row.digest,
        manifest=row.manifest,
        settings=document,
        looked=looked,
        public=public_parts(connection, environment_id, plugin, looked.complete, looked.secrets),
        removing=removing,
        warnings=msgspec.json.decode(getattr(row, "warnings", "[]"), type=list[Finding]),
    )


def _views(connection: Connection, environment_id: str) -> list[EnabledPluginView]:
    views = []
    for candidate in _candidates(connection, environment_id):
        looked = candidate.looked
        views.append(
            EnabledPluginView(
                name=candidate.plugin,
                version=candidate.version,
                state="removing" if candidate.removing else "enabled",
                settings=dict(candidate.settings),
                effective_settings=dict(looked.complete),
                public=candidate.public,
                problems=looked.missing,
                settings_schema=settings_schema(candidate.manifest),
                warnings=candidate.warnings,
            )
        )
    return views


def _one(connection: Connection, environment: object, plugin: str) -> EnabledPluginView:
    identity, name = str(getattr(environment, "id", "")), str(getattr(environment, "name", ""))
    for view in _views(connection, identity):
        if view.name == plugin:
            return view
    raise NotFoundError(
        f"plugin {plugin!r} is not enabled in environment {name}.", remedy=f"'stoker env enable {name} {plugin}' enables it."
    )
