# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Environments as files: written, compared, and brought about, all or nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, cast

import msgspec
from sqlalchemy import Connection, Row, select
from stoker_sdk.model.finding import Finding

from stoker import __version__
from stoker.db import tables
from stoker.db.environments import add_environment, bump_revision, find_environment, refuse_while_deploying
from stoker.db.overrides import drop_override, read_overrides, write_override
from stoker.domain import actor
from stoker.domain.environment_file import (
    FORMAT,
    Change,
    EnvironmentFile,
    FileNode,
    FilePlugin,
    differences,
)
from stoker.domain.snapshot import OverrideInput
from stoker.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError
from stoker.services import audit, bulk_nodes, bulk_roles, enablement, overrides
from stoker.services.components import plugins_of
from stoker.services.context import ServerContext
from stoker.services.environment_export import read_file, secret_versions
from stoker.services.environment_faults import finding, look, new_override, overrides_unfit
from stoker.services.environments import EnvironmentView, check_name
from stoker.services.environments import show as show_environment
from stoker.services.moving_records import Moving, moving
from stoker.services.node_lists import views_of_names
from stoker.services.nodes import NewNode, NodeChange, change_in
from stoker.services.plugin_inputs import Candidate
from stoker.services.releases import show as show_release
from stoker.services.settings_checks import check_settings

_TRIES: Final = 3
_SHOWN: Final = 5
_NEW: Final = 0
"""The revision of an environment that must not be there yet."""
_WAY: Final = ("address", "port", "user", "sudo", "credential", "jump")


class ApplyResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a file changed, or would."""

    environment: str
    created: bool
    """Whether the environment was not there before."""
    changes: list[Change]
    dry_run: bool


class _TakeBackError(Exception):
    """A dry run is over: the transaction is undone."""

    def __init__(self, result: ApplyResult) -> None:
        self.result = result
        super().__init__()


def export(context: ServerContext, environment: str, *, with_nodes: bool = False) -> EnvironmentFile:
    """An environment as a file; equal environments give equal files. Raises NotFoundError.

    Args:
        context: the server.
        environment: its id or name.
        with_nodes: whether to say how nodes are reached.
    """
    with context.database.read() as connection:
        return read_file(connection, find_environment(connection, environment), with_nodes=with_nodes)


def compare(context: ServerContext, environment: str, file: EnvironmentFile) -> list[Change]:
    """What applying a file would change, without looking whether it could be applied.

    Raises:
        NotFoundError: there is no such environment.
        InvalidInputError: the file is of another format.
    """
    _refuse_format(file)
    with context.database.read() as connection:
        present = read_file(connection, find_environment(connection, environment), with_nodes=True)
    return differences(_as_said(present, file), _completed(file, present))


def apply(
    context: ServerContext,
    environment: str,
    file: EnvironmentFile,
    secrets: Mapping[str, str],
    *,
    dry_run: bool = False,
    revision: int | None = None,
) -> ApplyResult:
    """Make an environment, or change it, to exactly what a file says: all or nothing.

    Args:
        context: the server.
        environment: its name (or id, if it is there); it need not be the one in the file.
        file: what it shall be.
        secrets: ``PLUGIN.SETTING`` -> value, for secrets that it does not have yet, or shall have anew.
        dry_run: only say what would change; nothing is kept.
        revision: refuse if the environment is there and has another one.

    Raises:
        InvalidInputError: plugins, nodes, roles, overrides or secrets do not fit; every fault is a finding.
        ConflictError: plugins clash, a deployment runs, or the environment has another revision.
    """
    _refuse_format(file)
    for _ in range(_TRIES):
        with context.database.read() as connection:
            home = _find(connection, environment)
            candidates, findings = look(connection, home, file, secrets)
        _refuse_revision(home, environment, revision)
        name = environment if home is None else str(home.name)
        if home is None:
            check_name("environment", environment)
        findings += overrides_unfit(context, name, candidates, file)
        _refuse(name, findings)
        enablement.check_together(context, name, candidates, "what the file says")
        check_settings(context, home, name, candidates)
        if home is not None and not dry_run:
            enablement.say_farewell(context, home, [candidate.plugin for candidate in candidates])
        try:
            with (
                _records(context, home, candidates, dry_run=dry_run) as records,
                context.database.transaction() as connection,
            ):
                now = _find(connection, environment)
                if (now is None) != (home is None) or (now is not None and home is not None and now.revision != home.revision):
                    continue  # somebody changed it while we checked: check again
                records.go_live(connection)
                return _bring_about(context, connection, name, home, file, candidates, dry_run=dry_run)
        except _TakeBackError as end:
            return end.result
    raise ConflictError(f"environment {environment} is changed by others all the time.", remedy="Try again in a moment.")


def create(
    context: ServerContext, name: str, release: str, plugins: Mapping[str, str], components: Sequence[str] = ()
) -> EnvironmentView:
    """Make an environment with plugins, all or nothing; their order does not matter.

    Args:
        context: the server.
        name: the environment's.
        release: the release that it runs; its plugin is enabled in the newest version that is installed, if none is chosen.
        plugins: name -> version; an empty one for the server's default one.
        components: names of components; the plugins that they enable come in addition.

    Raises:
        InvalidInputError: a plugin is not installed, a component is not offered, or the name does not fit.
        NotFoundError: there is no such release.
        ConflictError: plugins clash, or the name is taken.
    """
    chosen = dict(plugins)
    if release:
        found = show_release(context, release)
        chosen[found.plugin] = chosen.get(found.plugin) or found.plugin_versions[0]
    for plugin in plugins_of(context, components, release) if components else ():
        chosen[plugin.name] = chosen.get(plugin.name) or plugin.version
    file = EnvironmentFile(
        format=FORMAT,
        name=name,
        release=release,
        plugins={plugin: FilePlugin(version=version) for plugin, version in chosen.items()},
    )
    apply(context, name, file, {}, revision=_NEW)
    return show_environment(context, name)


@contextmanager
def _records(context: ServerContext, home: Row[Any] | None, candidates: list[Candidate], *, dry_run: bool) -> Iterator[Moving]:
    """Records of plugins that get another version are migrated before the one transaction; a dry run leaves them as they are."""
    if dry_run:
        yield Moving()
        return
    with context.database.read() as connection:
        present = [] if home is None else enablement.present(connection, home.id)
        if home is not None:
            for candidate in candidates:
                enablement.refuse_what_would_be_lost(connection, home, present, candidate)
    with moving(context, home, present, candidates) as records:
        yield records


def _bring_about(
    context: ServerContext,
    connection: Connection,
    name: str,
    home: Row[Any] | None,
    file: EnvironmentFile,
    candidates: list[Candidate],
    *,
    dry_run: bool,
) -> ApplyResult:
    created = home is None
    before = EnvironmentFile(format=FORMAT, name=name) if home is None else read_file(connection, home, with_nodes=True)
    versions = {} if home is None else secret_versions(connection, home.id)
    if home is None:
        home = find_environment(connection, add_environment(connection, name))
        audit.record(connection, "environment.create", home.id, name, environment=name, after={"name": name})
    enablement.arrange(context, connection, home, candidates)
    _arrange_nodes(context, connection, home, file)
    _arrange_overrides(connection, home, file)
    after = read_file(connection, find_environment(connection, home.id), with_nodes=True)
    changes = differences(_as_said(before, file), _as_said(after, file))
    changes += _renewed(versions, secret_versions(connection, home.id))
    result = ApplyResult(environment=name, created=created, changes=changes, dry_run=dry_run)
    if dry_run:
        raise _TakeBackError(result)
    if changes and not created:
        refuse_while_deploying(connection, home.id, home.name, "applying a file")
    if changes or created:
        told = {"changes": [f"{change.kind} {change.place}" for change in changes]}
        audit.record(connection, "environment.apply", home.id, name, environment=name, after=told)
    return result


def _find(connection: Connection, environment: str) -> Row[Any] | None:
    try:
        return find_environment(connection, environment)
    except NotFoundError:
        return None


def _renewed(before: Mapping[str, object], after: Mapping[str, object]) -> Iterator[Change]:
    for place in sorted(before.keys() & after.keys()):
        if before[place] != after[place]:
            yield Change(kind="change", place=place, before="(secret)", after="(another secret)")


# What shall be


def _as_said(present: EnvironmentFile, file: EnvironmentFile) -> EnvironmentFile:
    """The present state, as far as the file says something of it: how nodes are reached only where the file says it too."""
    nodes = {
        name: msgspec.structs.replace(
            node,
            **dict.fromkeys(_unsaid(file.nodes.get(name)), None),
        )
        for name, node in present.nodes.items()
    }
    release = present.release if file.release else ""
    return msgspec.structs.replace(present, nodes=nodes, release=release)


def _unsaid(node: FileNode | None) -> list[str]:
    return [field for field in (*_WAY, "transport") if node is None or getattr(node, field) is None]


def _completed(file: EnvironmentFile, present: EnvironmentFile) -> EnvironmentFile:
    """The file with the versions that it leaves open as they are."""
    plugins = {
        name: plugin
        if plugin.version or name not in present.plugins
        else msgspec.structs.replace(plugin, version=present.plugins[name].version)
        for name, plugin in file.plugins.items()
    }
    return msgspec.structs.replace(file, plugins=plugins)


# Bringing it about


def _arrange_nodes(context: ServerContext, connection: Connection, home: Row[Any], file: EnvironmentFile) -> None:
    views = views_of_names(connection, list(file.nodes))
    new = [_new_node(name, node) for name, node in file.nodes.items() if name not in views]
    if new:
        _refuse_limited([node.name for node in new])
        bulk_nodes.add_in(context, connection, bulk_nodes.NewNodes(nodes=_jumps_first(new)))
    for name, node in sorted(file.nodes.items()):
        said = {field: value for field in _WAY if (value := getattr(node, field)) is not None}
        other = {field: value for field, value in said.items() if name in views and value != getattr(views[name], field)}
        if other:
            if views[name].environment != home.name:
                _refuse_limited([name])
            change_in(connection, name, NodeChange(**cast("Any", other)))
    if file.nodes:
        given = [bulk_roles.Assignment(node=name, roles=sorted(set(node.roles))) for name, node in sorted(file.nodes.items())]
        bulk_roles.assign_in(connection, home, bulk_roles.BulkAssignment(assignments=given))
    table = tables.nodes
    present = connection.execute(select(table.c.name).where(table.c.environment_id == home.id, table.c.removing.is_(False)))
    leaving = sorted(name for name in present.scalars() if name not in file.nodes)
    if leaving:
        bulk_roles.unassign_in(connection, home, bulk_roles.BulkUnassignment(nodes=leaving))


def _refuse_limited(names: Sequence[str]) -> None:
    """Nodes that are in no environment are nothing for a token for some environments: a file is no way around that."""
    who = actor.current()
    if who.environments is not None:
        raise ForbiddenError(
            f"token {who.token!r} is for some environments; it may neither add nor change {', '.join(names[:5])}.",
            remedy="Add the nodes beforehand, or apply the file with a token for all environments.",
        )


def _new_node(name: str, node: FileNode) -> NewNode:
    return NewNode(
        name=name,
        address=node.address or "",
        port=node.port or 22,
        user=node.user or "root",
        sudo=bool(node.sudo),
        credential=node.credential,
        jump=node.jump,
        transport=node.transport or "ssh",
    )


def _jumps_first(nodes: list[NewNode]) -> list[NewNode]:
    """Nodes through which others are reached stand before these."""
    names = {node.name: node for node in nodes}
    ordered: dict[str, NewNode] = {}

    def put(node: NewNode, depth: int) -> None:
        if node.jump in names and depth < len(names):
            put(names[node.jump], depth + 1)
        ordered.setdefault(node.name, node)

    for node in nodes:
        put(node, 0)
    return list(ordered.values())


def _arrange_overrides(connection: Connection, home: Row[Any], file: EnvironmentFile) -> None:
    stored = {_place(item.override): item for item in read_overrides(connection, home.id)}
    given = [overrides.checked(new_override(item), actor.current().name) for item in file.overrides]
    wanted = {_place(override): override for override in given}
    gone = [item for place, item in stored.items() if place not in wanted]
    for item in gone:
        drop_override(connection, home.id, item.override)
        overrides.note(connection, home, item.override, item, None)
    changed = False
    for place, override in wanted.items():
        old = stored.get(place)
        if old is None or old.override.value != override.value or type(old.override.value) is not type(override.value):
            write_override(connection, home.id, override)
            after = next(item for item in read_overrides(connection, home.id) if _place(item.override) == place)
            overrides.note(connection, home, override, old, after)
            changed = True
    if changed or gone:
        bump_revision(connection, home.id)


def _place(override: OverrideInput) -> tuple[str, str, str, tuple[str, ...]]:
    return override.path, override.section, override.key, tuple(override.roles)


# Refusals


def _refuse_format(file: EnvironmentFile) -> None:
    if file.format != FORMAT:
        writer = f", written by Stoker {file.stoker}" if file.stoker else ""
        raise InvalidInputError(
            f"the file has format {file.format}{writer}; this server, Stoker {__version__}, reads format {FORMAT}.",
            remedy="Export it anew with this version, or apply it to a server of that version.",
            findings=[finding("J001", "format", f"format {file.format} is not known.", f"Write format: {FORMAT}.")],
        )


def _refuse_revision(home: Row[Any] | None, environment: str, revision: int | None) -> None:
    if home is not None and revision == _NEW:
        raise ConflictError(f"environment {environment!r} is there already.", remedy="Choose another name.")
    if home is not None and revision is not None and home.revision != revision:
        raise ConflictError(
            f"environment {environment} was changed since: its revision is {home.revision}, not {revision}.",
            remedy="Look at it again, and apply what still fits.",
        )


def _refuse(name: str, findings: list[Finding]) -> None:
    if findings:
        shown = "; ".join(finding.message for finding in findings[:_SHOWN]) + ("; ..." if len(findings) > _SHOWN else "")
        raise InvalidInputError(
            f"environment {name}: the file has {len(findings)} {'fault' if len(findings) == 1 else 'faults'}: {shown}",
            remedy="Nothing was changed. Mend what the findings name.",
            findings=findings,
        )
