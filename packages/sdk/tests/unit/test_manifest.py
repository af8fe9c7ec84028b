# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Manifests: contributions of every point go to JSON and YAML and back without loss."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import jsonschema_rs
import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from stoker_sdk.errors import InvalidPluginError
from stoker_sdk.extension_points import (
    actions,
    before_plan,
    commands,
    contribution_types,
    events,
    health_checks,
    node_packages,
    permissions,
    records,
    releases,
    rest_api,
    roles,
    serializer_hooks,
    services,
    tasks,
    validate_settings,
)
from stoker_sdk.extension_points import config_files as files
from stoker_sdk.extension_points import settings as settings_point
from stoker_sdk.extension_points.components import Component, Group
from stoker_sdk.extension_points.task_kinds import TaskKind
from stoker_sdk.extension_points.task_patches import Extend, Replace, TaskPatch
from stoker_sdk.manifest import manifest_schema, read_manifest, to_manifest
from stoker_sdk.model.contribution import Contribution
from stoker_sdk.model.dependency import Dependency
from stoker_sdk.model.expression import Expression, Reference, ref
from stoker_sdk.plugin import Plugin
from stoker_sdk.plugin_yaml import read_yaml

TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\ufeff\ufffe\uffff"), max_size=12
)
SCALAR = st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), TEXT)
EXPRESSION = st.builds(Expression, TEXT)
VALUE = st.one_of(SCALAR, EXPRESSION, st.lists(st.one_of(st.booleans(), st.integers(-9, 9), TEXT, EXPRESSION), max_size=3))
NAMES = st.lists(TEXT, max_size=3)
SCHEMA = st.dictionaries(TEXT, SCALAR | NAMES, max_size=2)
ENVIRONMENT = st.dictionaries(TEXT, VALUE, max_size=2)
EDGES = st.lists(st.one_of(TEXT, st.builds(Dependency, TEXT, role=st.none() | TEXT, optional=st.booleans())), max_size=2)
WHEN = st.one_of(st.none(), TEXT, EXPRESSION)
TASK = {
    "when": WHEN,
    "roles": NAMES,
    "after": EDGES,
    "before": EDGES,
    "run_on": NAMES,
    "timeout": st.integers(1, 99),
    "unless": st.none() | TEXT,
}
ITEM = st.builds(tasks.FileItem, path=TEXT, content=VALUE)
PACKAGE = st.one_of(TEXT, st.builds(node_packages.Package, name=TEXT, version=TEXT))
SERVICE_FILE = st.builds(services.ServiceFile, path=TEXT, format=st.sampled_from(["ini", "blocks"]), name=TEXT, sections=NAMES)

CONTRIBUTIONS: dict[type[Contribution], st.SearchStrategy[Contribution]] = {
    node_packages.NodePackages: st.builds(
        node_packages.NodePackages, when=WHEN, roles=NAMES, packages=st.lists(PACKAGE, max_size=3)
    ),
    node_packages.Repository: st.builds(
        node_packages.Repository,
        path=TEXT,
        os_family=TEXT,
        packages=st.lists(
            st.builds(node_packages.RepositoryPackage, name=TEXT, version=TEXT, architecture=TEXT, file=TEXT, sha256=TEXT),
            max_size=2,
        ),
    ),
    roles.Role: st.builds(
        roles.Role, when=WHEN, name=TEXT, max=st.none() | st.integers(0, 9), tolerance=st.integers(0, 9) | TEXT
    ),
    releases.Release: st.builds(releases.Release, name=TEXT, product=TEXT, version=TEXT, operating_systems=NAMES),
    services.Service: st.builds(
        services.Service,
        when=WHEN,
        name=TEXT,
        roles=NAMES,
        packages=st.lists(PACKAGE, max_size=2),
        units=NAMES,
        files=st.lists(SERVICE_FILE, max_size=2),
        on_change=st.sampled_from(["restart", "reload", "none"]),
        ready=st.none() | TEXT,
        after=EDGES,
    ),
    settings_point.Settings: st.builds(settings_point.Settings, json_schema=st.dictionaries(TEXT, SCALAR | NAMES, max_size=3)),
    files.ConfigFile: st.builds(
        files.ConfigFile, path=TEXT, format=st.sampled_from(["ini", "yaml", "plain", "blocks"]), sections=NAMES
    ),
    files.Option: st.builds(files.Option, when=WHEN, path=TEXT, service=TEXT, key=TEXT, value=VALUE),
    files.ListItem: st.builds(files.ListItem, path=TEXT, key=TEXT, items=VALUE, after=NAMES, weight=st.integers(-9, 9)),
    files.WholeFile: st.builds(files.WholeFile, path=TEXT, content=VALUE, template=st.none() | TEXT),
    Group: st.builds(Group, name=TEXT, title=TEXT, choose=st.sampled_from(["any", "one"]), releases=NAMES),
    Component: st.builds(Component, name=TEXT, title=TEXT, requires=NAMES, conflicts=NAMES, default=st.booleans()),
    TaskKind: st.builds(
        TaskKind, name=TEXT, title=TEXT, executable=TEXT, parameters=st.dictionaries(TEXT, SCALAR | NAMES, max_size=3)
    ),
    tasks.Custom: st.builds(tasks.Custom, id=TEXT, kind=TEXT, parameters=ENVIRONMENT, **TASK),
    TaskPatch: st.builds(
        TaskPatch,
        when=WHEN,
        task=TEXT,
        skip=st.booleans(),
        replace=st.none()
        | st.builds(Replace, run=st.none() | TEXT, environment=ENVIRONMENT, state=st.none() | st.just("stopped")),
        extend=st.none() | st.builds(Extend, after=EDGES, parameters=ENVIRONMENT, run_on=NAMES),
    ),
    health_checks.HealthCheck: st.builds(health_checks.HealthCheck, id=TEXT, roles=NAMES, run=TEXT, environment=ENVIRONMENT),
    tasks.Packages: st.builds(tasks.Packages, id=TEXT, packages=NAMES, **TASK),
    tasks.Files: st.builds(tasks.Files, id=TEXT, files=st.lists(ITEM, max_size=2), **TASK),
    tasks.Service: st.builds(tasks.Service, name=TEXT, enabled=st.none() | st.booleans(), **TASK),
    tasks.Shell: st.builds(tasks.Shell, id=TEXT, run=TEXT, environment=ENVIRONMENT, **TASK),
    tasks.Script: st.builds(tasks.Script, id=TEXT, source=TEXT, arguments=st.lists(VALUE, max_size=2), **TASK),
    tasks.Upload: st.builds(tasks.Upload, id=TEXT, source=TEXT, path=TEXT, **TASK),
    tasks.Reboot: st.builds(tasks.Reboot, id=TEXT, **TASK),
    rest_api.RestApi: st.builds(
        rest_api.RestApi,
        call=TEXT,
        routes=st.lists(st.builds(rest_api.Route, path=TEXT, methods=NAMES, permission=TEXT), max_size=2),
        openapi=TEXT,
    ),
    records.Collection: st.builds(
        records.Collection,
        name=TEXT,
        json_schema=SCHEMA,
        version=st.integers(1, 3),
        scope=st.sampled_from(["environment", "server"]),
        indexes=NAMES,
        migrations=st.lists(st.builds(records.Migration, version=st.integers(2, 3), call=TEXT), max_size=2),
        reads_versions=st.lists(st.integers(1, 3), max_size=2),
    ),
    serializer_hooks.SerializerHook: st.builds(
        serializer_hooks.SerializerHook,
        name=TEXT,
        target=st.sampled_from(["node", "environment", "deployment"]),
        call=TEXT,
        json_schema=SCHEMA,
        reads=NAMES,
        records=NAMES,
        settings=st.booleans(),
        time_to_live=st.sampled_from([0, 10.5]),
    ),
    events.EventHandler: st.builds(events.EventHandler, name=TEXT, events=NAMES, call=TEXT, deadline=st.sampled_from([1, 2.5])),
    before_plan.BeforePlan: st.builds(
        before_plan.BeforePlan, name=TEXT, call=TEXT, points=NAMES, names=NAMES, required=st.booleans()
    ),
    validate_settings.ValidateSettings: st.builds(validate_settings.ValidateSettings, call=TEXT, required=st.booleans()),
    permissions.Permission: st.builds(
        permissions.Permission, name=TEXT, title=TEXT, access=st.sampled_from(["viewer", "operator", "admin"])
    ),
    actions.Action: st.builds(
        actions.Action,
        name=TEXT,
        title=TEXT,
        call=TEXT,
        target=st.sampled_from(["environment", "node", "server"]),
        form=SCHEMA,
        restartable=st.booleans(),
        json_result=SCHEMA,
    ),
    commands.Command: st.builds(
        commands.Command,
        name=TEXT,
        title=TEXT,
        path=TEXT,
        method=st.sampled_from(["GET", "PUT"]),
        parameters=st.lists(
            st.builds(commands.Parameter, name=TEXT, kind=st.sampled_from(["argument", "option", "flag"]), choices=NAMES),
            max_size=2,
        ),
        columns=NAMES,
    ),
    tasks.WaitFor: st.builds(tasks.WaitFor, id=TEXT, port=st.none() | st.integers(1, 9) | EXPRESSION, host=VALUE, **TASK),
}


def plain(plugin: Plugin) -> object:
    """The plugin's data; lists and tuples alike."""
    return json.loads(json.dumps(msgspec.to_builtins(plugin)))


def test_every_class_of_every_point_is_generated() -> None:
    assert set(CONTRIBUTIONS) == set(contribution_types().values())


@settings(deadline=None, max_examples=30)
@given(st.lists(st.one_of(*CONTRIBUTIONS.values()), max_size=4), TEXT)
def test_round_trip_through_json_and_yaml(contributions: list[Contribution], description: str) -> None:
    plugin = Plugin(name="hello", version="1.0.0", title="Hello", description=description, contributions=contributions)
    manifest = to_manifest(plugin)
    jsonschema_rs.validator_for(manifest_schema()).validate(manifest)
    again = read_manifest(json.loads(json.dumps(manifest)))
    assert plain(again) == plain(plugin)
    with TemporaryDirectory() as folder:
        path = Path(folder, "plugin.yaml")
        path.write_text(yaml.dump(manifest, Dumper=NoAliases, allow_unicode=True), "utf-8")
        assert plain(read_yaml(path)) == plain(plugin)


class NoAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True


@pytest.mark.parametrize("value", [object(), {1, 2}.__iter__(), lambda: 1])
def test_what_json_cannot_carry_is_refused(value: object) -> None:
    option = files.Option(path="/etc/x", key="a", value=value)  # type: ignore[arg-type]  # what a careless plugin does
    with pytest.raises(InvalidPluginError) as caught:
        to_manifest(Plugin(name="hello", version="1.0.0", title="Hello", contributions=[option]))
    assert [finding.rule for finding in caught.value.findings] == ["P010"]


def test_a_reference_becomes_its_expression() -> None:
    option = files.Option(path="/etc/x", key="a", value=ref.settings.text + "!")
    manifest = to_manifest(Plugin(name="hello", version="1.0.0", title="Hello", contributions=[option]))
    (read,) = read_manifest(manifest).contributions
    assert isinstance(read, files.Option)
    assert read.value == Expression('(settings.text + "!")')


@pytest.mark.parametrize(
    "write",
    [lambda it: f"{it} x", lambda it: f"{it!s:>4}", str, "%s".__mod__, "{}".format, list],
)
def test_a_reference_has_no_text(write: Callable[[Reference], object]) -> None:
    with pytest.raises(TypeError, match=r"the reference to settings.text .* ref\("):
        write(ref.settings.text)


def test_a_reference_can_be_shown() -> None:
    assert repr(ref.settings.text) == "Reference(source='settings.text')"
