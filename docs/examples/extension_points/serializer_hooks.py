from collections.abc import Mapping, Sequence

from stoker_sdk import Plugin
from stoker_sdk.context import Context, Object
from stoker_sdk.extension_points import permissions, records, serializer_hooks
from stoker_sdk.model.code import code
from stoker_sdk.model.json_value import JSON

PLACE = {"type": "object", "properties": {"rack": {"type": "string"}}, "required": ["rack"], "additionalProperties": False}


def places(objects: Sequence[Object], context: Context) -> Mapping[str, JSON]:
    """Where nodes stand; those of which nobody wrote it down are left out."""
    known = context.records.get_many("places", [item.id for item in objects])
    return {identity: record.value for identity, record in known.items()}


def people(objects: Sequence[Object]) -> Mapping[str, JSON]:
    """Whom to call about a node."""
    return {item.id: {"call": "storage" if "storage" in item.columns["roles"] else "compute"} for item in objects}


plugin = Plugin(
    name="rack-places",
    version="1.0.0",
    title="Where nodes stand",
    contributions=[
        records.Collection(name="places", json_schema=PLACE, key_of="node"),
        permissions.Permission(name="see_people", title="See whom to call about a node"),
        # GET /api/nodes shows {"ext": {"rack-places": {"place": {"rack": "r7"}, ...}}, ...}
        serializer_hooks.SerializerHook(name="place", target="node", call=code(places), records=["places"], json_schema=PLACE),
        serializer_hooks.SerializerHook(
            name="people",
            target="node",
            call=code(people),
            reads=["roles"],
            permission="see_people",
            json_schema={"type": "object", "properties": {"call": {"type": "string"}}},
        ),
    ],
)
