# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""An environment gets another version of a plugin, or goes back to the one before: shown first, then done as a whole."""

from __future__ import annotations

from typing import Final

import msgspec
from packaging.version import Version
from stoker_sdk.model.finding import Finding

from stoker.db.environments import find_environment
from stoker.db.plugin_history import version_before
from stoker.db.plugins import plugin_versions
from stoker.domain import settings
from stoker.domain.plugin_change import (
    ContributionChange,
    SettingChange,
    contribution_changes,
    setting_changes,
    without,
)
from stoker.domain.settings import Document
from stoker.errors import ConflictError, InvalidInputError
from stoker.services import enablement, moving_records
from stoker.services.context import ServerContext
from stoker.services.plugin_inputs import Candidate
from stoker.services.plugin_settings import masked
from stoker.services.plugins import label_of
from stoker.services.record_migrations import RecordMigrationView
from stoker.services.record_rollbacks import RecordRollbackView

_ROUNDS: Final = 20
"""Settings that are dropped may let others be looked at that did not fit either."""


class UpgradeView(msgspec.Struct, frozen=True, kw_only=True):
    """What another version of a plugin changes in an environment, or changed."""

    environment: str
    plugin: str
    before: str
    """The version that it had."""
    after: str
    """The version that it gets."""
    dry_run: bool
    contributions: list[ContributionChange]
    settings: list[SettingChange]
    """With defaults filled in; those of kind ``drop`` were given, and the other version does not take them."""
    problems: list[Finding]
    """What is missing then before a plan can be made."""
    records: list[RecordMigrationView]
    """What becomes of its collections of records; a dry run tries each document."""
    records_back: list[RecordRollbackView]
    """Of a rollback: collections that go back to what they were, and what was written since."""


class _Way(msgspec.Struct, frozen=True, kw_only=True):
    """How it is done."""

    dry_run: bool
    returning_to: int = 0
    """What a rollback returns to, as the history of versions numbers it."""
    discard: bool = False
    """Lose what was written to records since."""


class _Manifest(msgspec.Struct):
    contributions: list[dict[str, object]] = []


def upgrade(
    context: ServerContext,
    environment: str,
    plugin: str,
    version: str = "",
    *,
    given: Document | None = None,
    drop_settings: bool = False,
    dry_run: bool = False,
) -> UpgradeView:
    """Give an environment another version of a plugin, with the settings that it has.

    Args:
        context: the server.
        environment: its id or name.
        plugin: the plugin's name.
        version: which one; the server's default one if not given, which must be a newer one.
        given: the whole settings document; the one it has if not given.
        drop_settings: leave out the settings that the other version does not take; without it they are a refusal.
        dry_run: only say what would change.

    Raises:
        NotFoundError: the plugin is not enabled there, or the version is not installed.
        InvalidInputError: settings do not fit; each is named.
        ConflictError: it has the version already, the version is denied or clashes with other plugins, or a deployment runs.
    """
    old, new = enablement.change_of(context, environment, plugin, version or None, given)
    _refuse_no_step(old, new, version)
    document, dropped = _fitting(context, environment, old, new, given)
    if dropped and not drop_settings and not dry_run:
        names = ", ".join(change.setting for change in dropped)
        raise InvalidInputError(
            f"plugin {plugin} {new.version} does not take these settings of {old.version}: {names}. Nothing was changed.",
            remedy="Change or unset them first, or add --drop-settings (API: drop_settings) to leave them out.",
            findings=new.looked.faults,
        )
    return _carry_out(context, environment, old, new.version, document, dropped, _Way(dry_run=dry_run))


def rollback(
    context: ServerContext, environment: str, plugin: str, *, discard_records: bool = False, dry_run: bool = False
) -> UpgradeView:
    """Go back to the version before, with the settings that it had.

    Args:
        context: the server.
        environment: its id or name.
        plugin: the plugin's name.
        discard_records: lose what was written to records since the upgrade; without it, such records are a refusal.
        dry_run: only say what would change.

    Raises:
        NotFoundError: the plugin is not enabled there.
        ConflictError: there is no version before, it is not installed any more, or it clashes with other plugins.
        RecordsWrittenSinceError: records were written since, and ``discard_records`` is not given.
    """
    with context.database.read() as connection:
        home = find_environment(connection, environment)
        row = version_before(connection, home.id, plugin)
        installed = [found.version for found in plugin_versions(connection, plugin)]
    if row is None:
        enablement.show(context, environment, plugin)
        raise ConflictError(
            f"environment {home.name}: there is no version of plugin {plugin} from before.",
            remedy=f"'stoker env plugin upgrade {home.name} {plugin} VERSION' takes any that is installed.",
        )
    if row.version not in installed:
        raise ConflictError(
            f"environment {home.name}: plugin {plugin} {row.version}, the version before, is not installed any more.",
            remedy="Install it again ('stoker plugins install FILE'), then go back.",
        )
    document: Document = msgspec.json.decode(row.settings)
    old, _ = enablement.change_of(context, environment, plugin, row.version, document)
    way = _Way(dry_run=dry_run, returning_to=row.id, discard=discard_records)
    return _carry_out(context, environment, old, row.version, document, [], way)


def _refuse_no_step(old: Candidate, new: Candidate, asked: str) -> None:
    if old.version == new.version:
        raise ConflictError(
            f"plugin {old.plugin} has version {old.version} there already.",
            remedy="Name another version; 'stoker plugins list' shows those that are installed.",
        )
    if not asked and Version(new.version) < Version(old.version):
        raise ConflictError(
            f"plugin {old.plugin} has version {old.version} there, newer than the server's default version {new.version}.",
            remedy="Name the version that it shall have.",
        )


def _fitting(
    context: ServerContext, environment: str, old: Candidate, new: Candidate, given: Document | None
) -> tuple[Document, list[SettingChange]]:
    """The settings for the other version, and those of the present one that it does not take."""
    document = new.settings
    dropped: list[SettingChange] = []
    if given is not None:
        return document, dropped
    looked = new.looked
    for _ in range(_ROUNDS):
        places = [fault.field or "" for fault in looked.faults]
        rest = without(document, places)
        if not places or rest == document:
            break
        reasons = {fault.field or "": fault.message for fault in looked.faults}
        shown = dict(_shown(document))
        dropped += [
            SettingChange(kind="drop", setting=place, before=shown.get(place), reason=reasons[place])
            for place in dict.fromkeys(places)
        ]
        document = rest
        looked = enablement.change_of(context, environment, old.plugin, new.version, document)[1].looked
    return document, dropped


def _shown(document: Document) -> list[tuple[str, object]]:
    return [(change.setting, change.after) for change in setting_changes({}, document)]


def _carry_out(
    context: ServerContext,
    environment: str,
    old: Candidate,
    version: str,
    document: Document,
    dropped: list[SettingChange],
    way: _Way,
) -> UpgradeView:
    """Check everything, and do it unless it is a dry run."""
    home, _, new = enablement.look_into(context, environment, old.plugin, version, document)
    changed = [
        change
        for change in setting_changes(_complete(old), _complete(new))
        if not any(change.setting == drop.setting for drop in dropped)
    ]
    if way.dry_run:
        records, back = moving_records.look(context, home, new, back=bool(way.returning_to))
    else:
        done = enablement.enable_with_records(
            context, home.id, old.plugin, version, document, returning_to=way.returning_to, discard_records=way.discard
        )[1]
        records, back = done.migrated, done.returned
    return UpgradeView(
        environment=str(home.name),
        plugin=old.plugin,
        before=old.version,
        after=version,
        dry_run=way.dry_run,
        contributions=_contributions(old, new),
        settings=sorted([*dropped, *changed], key=lambda change: change.setting),
        problems=new.looked.missing,
        records=records,
        records_back=back,
    )


def _complete(candidate: Candidate) -> Document:
    document: Document = msgspec.json.decode(msgspec.json.encode(masked(candidate.looked)))
    for field in candidate.looked.secrets:
        value = settings.get(document, field.path)
        if not settings.is_reference(value) and value not in (None, ""):
            settings.put(document, field.path, "(secret)")
    return document


def _contributions(old: Candidate, new: Candidate) -> list[ContributionChange]:
    before, after = (msgspec.json.decode(item.manifest, type=_Manifest).contributions for item in (old, new))
    return contribution_changes(before, after, {id(item): label_of(item) for item in (*before, *after)})
