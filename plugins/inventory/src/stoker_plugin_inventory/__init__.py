# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Inventory: an asset label for each node, where it stands and whose it is."""

from __future__ import annotations

from typing import Final

from stoker_sdk import Plugin, code
from stoker_sdk.extension_points import (
    actions,
    before_plan,
    commands,
    events,
    permissions,
    records,
    rest_api,
    serializer_hooks,
    settings,
    validate_settings,
)
from stoker_sdk.extension_points.commands import Parameter
from stoker_sdk.model.contribution import Contribution

from stoker_plugin_inventory import assets, hooks, jobs
from stoker_plugin_inventory.application import Labels
from stoker_plugin_inventory.label_settings import LabelSettings, check

WRITE: Final = "write_labels"
"""The permission to change labels."""

_STORAGE: Final[tuple[Contribution, ...]] = (
    records.Collection(
        name=assets.COLLECTION,
        json_schema=assets.SCHEMA,
        version=assets.SCHEMA_VERSION,
        key_of="node",
        indexes=assets.INDEXES,
        migrations=assets.MIGRATIONS,
        max_bytes=4096,
    ),
    settings.Settings.from_model(LabelSettings),
    validate_settings.ValidateSettings(call=code(check)),
)

_API: Final[tuple[Contribution, ...]] = (
    permissions.Permission(name=WRITE, title="Write labels of nodes"),
    rest_api.RestApi(
        call=code(Labels),
        routes=[rest_api.Route(path="/labels", methods=["PUT", "DELETE"], permission=WRITE)],
        openapi="/openapi.json",
    ),
    commands.Command(
        name="labels",
        title="List the labels of an environment's nodes.",
        path="/labels",
        parameters=[
            Parameter(name="rack", help="Only those in this rack."),
            Parameter(name="missing", kind="flag", help="Only nodes without a label."),
        ],
        columns=["node", *assets.FIELDS],
        examples=["stoker inventory labels --env lab", "stoker inventory labels --env lab --rack 12 --json"],
    ),
    commands.Command(
        name="set-label",
        title="Give a node its label.",
        path="/labels/{node}",
        method="PUT",
        parameters=[
            Parameter(name="node", kind="argument", required=True, help="The node's name."),
            Parameter(name="label", kind="argument", required=True, help="What its sticker says."),
            *(Parameter(name=name, help=text) for name, text in assets.OPTIONS.items()),
        ],
        examples=["stoker inventory set-label web1 AB-0001 --env lab --owner 'web team'"],
    ),
    commands.Command(
        name="drop-label",
        title="Take a node's label away.",
        path="/labels/{node}",
        method="DELETE",
        parameters=[Parameter(name="node", kind="argument", required=True, help="The node's name.")],
        examples=["stoker inventory drop-label web1 --env lab"],
    ),
)

_WORK: Final[tuple[Contribution, ...]] = (
    serializer_hooks.SerializerHook(
        name="asset", target="node", call=code(hooks.show_assets), json_schema=assets.SHOWN, records=[assets.COLLECTION]
    ),
    events.EventHandler(name="come_and_gone", events=["node.created", "node.removed"], call=code(hooks.come_and_gone)),
    before_plan.BeforePlan(
        name="label_files",
        call=code(hooks.label_files),
        points=["config_files.whole_file"],
        names=[f"config_files.whole_file {hooks.FILE}"],
    ),
    actions.Action(
        name="import_labels",
        title="Import labels from a list",
        call=code(jobs.import_labels),
        form=jobs.IMPORT_FORM,
        confirm="Labels that nodes have already are replaced. Import?",
        permission=WRITE,
        restartable=True,
        json_result=jobs.IMPORTED,
    ),
    actions.Action(
        name="recount",
        title="Count nodes with and without a label",
        call=code(jobs.recount),
        restartable=True,
        json_result=jobs.COUNTED,
    ),
)

plugin = Plugin(
    name="inventory",
    version=assets.VERSION,
    title="Asset labels of nodes",
    description="Which label each machine has, where it stands and whose it is; shown with nodes and written to them.",
    license="Apache-2.0",
    api_access="viewer",
    contributions=[*_STORAGE, *_API, *_WORK],
)
