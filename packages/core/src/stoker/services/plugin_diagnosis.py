# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What is wrong with plugins, version by version, and how to mend it; nothing is changed, and no code of theirs runs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from packaging.version import Version
from sqlalchemy import Connection, Row, select
from stoker_sdk.errors import InvalidBundleError
from stoker_sdk.manifest import read_manifest
from stoker_sdk.plugin import Plugin

from stoker import __version__
from stoker.db import tables
from stoker.db.plugin_denials import read_denials
from stoker.db.plugin_events import undelivered
from stoker.db.plugins import environments_using
from stoker.db.quarantine import read_quarantined
from stoker.domain.plugin_denial import Denial, denial_of
from stoker.domain.plugin_resolver import Known, fits, parse, resolve
from stoker.errors import NotFoundError
from stoker.plugin_host.store import BUNDLE_FILE, FILES
from stoker.services.context import ServerContext
from stoker.services.plugin_resolution import fits_stoker, in_words, usable, views
from stoker.services.records import declared
from stoker.services.sandboxes import UNCONFINED, sandbox_of

_SHOWN: Final = 3
Problem = Literal[
    "denied",
    "events",
    "files",
    "hooks",
    "left-over",
    "network",
    "quarantine",
    "records",
    "requires",
    "safe-mode",
    "sandbox",
    "stoker",
    "venv",
]


class PluginProblem(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is wrong with a plugin version."""

    plugin: str
    version: str
    environment: str = ""
    """Where, if in one environment alone."""
    severity: Literal["error", "warning"]
    """``error``: something of it does not work. ``warning``: it works, but not for ever, or it is not needed now."""
    problem: Problem
    """A stable word."""
    message: str
    remedy: str


class _Look(msgspec.Struct, frozen=True, kw_only=True):
    """What was read of everything, for the looks at one version."""

    context: ServerContext
    connection: Connection
    rows: list[Row[Any]]
    users: dict[tuple[str, str], list[str]]
    denials: list[Denial]
    usable: list[Known]
    enabled: dict[str, dict[str, str]]
    """Environment -> plugin -> version."""
    sandbox: str


class _Version(msgspec.Struct, frozen=True, kw_only=True):
    """The version that is looked at."""

    row: Row[Any]
    plugin: Plugin
    used_by: list[str]

    def says(
        self, severity: Literal["error", "warning"], problem: Problem, message: str, remedy: str, *, environment: str = ""
    ) -> PluginProblem:
        """A problem of this version."""
        return PluginProblem(
            plugin=self.row.name,
            version=self.row.version,
            environment=environment,
            severity=severity,
            problem=problem,
            message=message,
            remedy=remedy,
        )


def diagnose(context: ServerContext, name: str = "") -> list[PluginProblem]:
    """Look at all installed versions, or at those of one plugin.

    Raises:
        NotFoundError: it is not installed.
    """
    with context.database.read() as connection:
        look = _read(context, connection)
        rows = [row for row in look.rows if name in ("", row.name)]
        if name and not rows:
            raise NotFoundError(f"plugin {name} is not installed.", remedy="'stoker plugins list' shows what is.")
        found: list[PluginProblem] = []
        for row in sorted(rows, key=lambda row: (row.name, Version(row.version))):
            plugin = read_manifest(msgspec.json.decode(row.manifest))
            version = _Version(row=row, plugin=plugin, used_by=look.users.get((row.name, row.version), []))
            found += [problem for check in CHECKS for problem in check(look, version)]
        return found if name else [*found, *_left_over(look)]


def _read(context: ServerContext, connection: Connection) -> _Look:
    used, environments = tables.environment_plugins, tables.environments
    query = select(environments.c.name, used.c.plugin, used.c.version).join(used, used.c.environment_id == environments.c.id)
    enabled: dict[str, dict[str, str]] = {}
    for environment, plugin, version in connection.execute(query.where(used.c.state == "enabled")):
        enabled.setdefault(environment, {})[plugin] = version
    return _Look(
        context=context,
        connection=connection,
        rows=list(connection.execute(select(tables.plugins))),
        users=environments_using(connection),
        denials=read_denials(connection),
        usable=usable(connection),
        enabled=enabled,
        sandbox=sandbox_of(context),
    )


def _stoker(_look: _Look, version: _Version) -> Iterator[PluginProblem]:
    wants = version.plugin.requires_stoker
    if not fits_stoker(wants):
        yield version.says(
            "error", "stoker", f"it wants Stoker {wants}; this is {__version__}", "Install a version of it for this Stoker."
        )


def _denied(look: _Look, version: _Version) -> Iterator[PluginProblem]:
    denial = denial_of(look.denials, version.row.name, version.row.version)
    if denial is None:
        return
    if version.used_by:
        used = ", ".join(version.used_by)
        remedy = f"Upgrade it in {used} ('stoker env plugin upgrade'), or disable it there; then uninstall it."
        yield version.says("error", "denied", f"it is denied, and used by {used}: {denial.reason}", remedy)
    else:
        remedy = f"Uninstall it: 'stoker plugins uninstall {version.row.name}={version.row.version}'."
        yield version.says("warning", "denied", f"it is denied: {denial.reason}", remedy)


def _files(look: _Look, version: _Version) -> Iterator[PluginProblem]:
    """Whether its files are those that were installed."""
    folder = look.context.store.folder(version.row.name, version.row.version)
    remedy = "Uninstall it and install the same bundle again; or bring a backup back."
    try:
        opened = look.context.store.open(folder / BUNDLE_FILE)
    except FileNotFoundError:
        yield version.says("error", "files", "its bundle is not there", remedy)
        return
    except (InvalidBundleError, OSError) as error:
        yield version.says("error", "files", f"its bundle cannot be read: {error}", remedy)
        return
    if opened.digest != version.row.digest:
        yield version.says("error", "files", "its bundle is not the one that was installed", remedy)
        return
    wrong = [path for path, wanted in sorted(opened.sums.items()) if _sum(folder / FILES / path) != wanted]
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        told = f"{len(wrong)} of its files are not what they were: {', '.join(wrong[:_SHOWN])}{more}"
        yield version.says("error", "files", told, remedy)


def _sum(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _venv(look: _Look, version: _Version) -> Iterator[PluginProblem]:
    if version.plugin.code is None or look.context.venvs.is_ready(version.row.name, version.row.version):
        return
    there = look.context.venvs.folder(version.row.name, version.row.version).exists()
    why = "its venv was made for another Python or another SDK" if there else "its venv is not there"
    remedy = (
        "Restart the server: it makes the venv anew, and its log says why if it cannot; then install a build for this Python."
    )
    yield version.says("error", "venv", f"{why}, so its code does not run", remedy)


def _code(look: _Look, version: _Version) -> Iterator[PluginProblem]:
    """What keeps the code of any plugin from running as it should."""
    if version.plugin.code is None:
        return
    if look.context.config.safe_mode:
        yield version.says(
            "warning", "safe-mode", "its code does not run, for the server runs in safe mode", "Start it without --safe-mode."
        )
    elif look.sandbox == "none":
        remedy = "Install bubblewrap, or allow user namespaces; 'stoker doctor' says more. Else: --allow-unconfined-plugins."
        yield version.says("error", "sandbox", "its code does not run, for no sandbox works on this machine", remedy)
    elif look.sandbox == UNCONFINED:
        remedy = "Install bubblewrap, or allow user namespaces, and start the server without --allow-unconfined-plugins."
        yield version.says("warning", "sandbox", "its code runs without a sandbox", remedy)
    if version.plugin.outbound_network and not version.row.network_agreed:
        told = f"its code wants to reach the network, and nobody agreed: {version.plugin.outbound_network}"
        yield version.says("error", "network", told, "Uninstall it and install it again with --allow-network, if you agree.")


def _requires(look: _Look, version: _Version) -> Iterator[PluginProblem]:
    """Needed and excluded plugins, where it is enabled; elsewhere, whether what it needs is installed at all."""
    for environment in version.used_by:
        enabled = look.enabled.get(environment, {})
        if enabled.get(version.row.name) != version.row.version:
            continue
        if unmet := _unmet(version, enabled):
            steps = resolve(look.usable, enabled, chosen=version.row.name)
            remedy = in_words(views(steps or [])) or "Install versions that fit together, or disable one of them."
            yield version.says("error", "requires", unmet, remedy, environment=environment)
    if not version.used_by:
        for text in version.plugin.requires_plugins:
            name, specifier = parse(text)
            if not any(known.name == name and fits(known.version, specifier) for known in look.usable):
                remedy = f"Install {text} before you enable it."
                yield version.says("warning", "requires", f"it needs {text}, which is not installed", remedy)


def _unmet(version: _Version, enabled: dict[str, str]) -> str:
    for text in version.plugin.requires_plugins:
        name, specifier = parse(text)
        if name not in enabled or not fits(enabled[name], specifier):
            return f"it needs {text}, and there is {f'version {enabled[name]}' if name in enabled else 'none'}"
    for text in version.plugin.conflicts_plugins:
        name, specifier = parse(text)
        if name in enabled and fits(enabled[name], specifier):
            return f"it cannot be beside {name} {enabled[name]}"
    return ""


def _quarantine(look: _Look, version: _Version) -> Iterator[PluginProblem]:
    for row in read_quarantined(look.connection, plugin=version.row.name):
        if row.version == version.row.version:
            remedy = f"'stoker plugins quarantine show {row.plugin}' has the traceback; 'rearm' calls it again at once."
            told = f"{row.point} {row.hook} failed {row.failures} times and is skipped for now: {row.reason}"
            yield version.says("error", "quarantine", told, remedy, environment=_name_of(look, row.environment_id))


def _hooks(look: _Look, version: _Version) -> Iterator[PluginProblem]:
    table = tables.serializer_hooks
    for row in look.connection.execute(select(table).where(table.c.plugin == version.row.name, table.c.failures > 0)):
        environment = _name_of(look, row.environment_id)
        if look.enabled.get(environment, {}).get(version.row.name) == version.row.version:
            told = f"its serializer hook {row.name} failed (failures: {row.failures}), its data are old: {row.reason}"
            remedy = f"'stoker plugins logs {row.plugin}' shows what it wrote; tell whoever made the plugin."
            yield version.says("warning", "hooks", told, remedy, environment=environment)


def _events(look: _Look, version: _Version) -> Iterator[PluginProblem]:
    failed = [
        row
        for row in look.connection.execute(undelivered(look.connection, version.row.name))
        if row.attempts and row.version in ("", version.row.version)
    ]
    if failed and (version.used_by or any(row.version for row in failed)):
        told = f"events that it was told in vain: {len(failed)}; lastly: {failed[0].reason}"
        remedy = f"'stoker plugins events {version.row.name}' lists them; they are told again until it takes them."
        yield version.says("warning", "events", told, remedy)


def _records(look: _Look, version: _Version) -> Iterator[PluginProblem]:
    """Collections whose documents are still in another version of the schema than the one that is used."""
    collections = declared(version.row.manifest)
    table = tables.record_collections
    for row in look.connection.execute(select(table).where(table.c.plugin == version.row.name)) if collections else ():
        environment = _name_of(look, row.environment_id)
        used = [environment] if row.environment_id else version.used_by
        if not any(look.enabled.get(name, {}).get(version.row.name) == version.row.version for name in used):
            continue
        known = collections.get(row.collection)
        reads = (known.collection.version, *known.collection.reads_versions) if known is not None else ()
        if known is not None and row.schema_version not in reads:
            told = f"its records {row.collection} have schema version {row.schema_version}, it needs {known.collection.version}"
            remedy = f"'stoker env plugin upgrade {environment or 'ENV'} {version.row.name} VERSION' migrates them."
            yield version.says("error", "records", told, remedy, environment=environment)


def _left_over(look: _Look) -> Iterator[PluginProblem]:
    """Files of versions that are not installed."""
    known = {(row.name, row.version) for row in look.rows}
    for root in (look.context.store.root, look.context.venvs.root):
        for folder in sorted(root.glob("[a-z]*/*")) if root.is_dir() else ():
            if (folder.parent.name, folder.name) not in known and not folder.name.endswith(".tmp"):
                yield PluginProblem(
                    plugin=folder.parent.name,
                    version=folder.name,
                    severity="warning",
                    problem="left-over",
                    message=f"{root.name}/{folder.parent.name}/{folder.name} is there, and the version is not installed",
                    remedy="The next start of the server takes it away.",
                )


def _name_of(look: _Look, environment_id: str) -> str:
    table = tables.environments
    found = look.connection.execute(select(table.c.name).where(table.c.id == environment_id)).scalar()
    return str(found or "")


CHECKS: Final[Sequence[Callable[[_Look, _Version], Iterator[PluginProblem]]]] = (
    _stoker,
    _denied,
    _files,
    _venv,
    _code,
    _requires,
    _quarantine,
    _hooks,
    _events,
    _records,
)
"""What is looked at of each version."""
