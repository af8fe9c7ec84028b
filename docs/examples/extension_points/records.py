from collections.abc import Mapping

from stoker_sdk import Plugin
from stoker_sdk.context import Context, Event
from stoker_sdk.extension_points import events, records
from stoker_sdk.model.code import code
from stoker_sdk.model.json_value import JSON

PLACE = {
    "type": "object",
    "properties": {"room": {"type": "string"}, "rack": {"type": "string"}},
    "required": ["room", "rack"],
    "additionalProperties": False,
}


def split_place(documents: Mapping[str, JSON]) -> dict[str, JSON]:
    """Version 1 was ``{"place": "ROOM/RACK"}``; documents without a place are dropped."""
    made: dict[str, JSON] = {}
    for key, document in documents.items():
        assert isinstance(document, Mapping)
        room, _, rack = str(document["place"]).partition("/")
        made[key] = {"room": room, "rack": rack} if room else None
    return made


def put_into_rack(event: Event, context: Context) -> None:
    """A new node is in the rack that waits for nodes; 0: unless somebody was faster."""
    context.records.put("places", event.object_id, {"room": "1", "rack": "new"}, revision=0)


plugin = Plugin(
    name="places",
    version="2.0.0",
    title="Where nodes are",
    contributions=[
        records.Collection(
            name="places",
            json_schema=PLACE,
            key_of="node",
            indexes=["room", "rack"],
            version=2,
            migrations=[records.Migration(version=2, call=code(split_place))],
        ),
        events.EventHandler(name="new", events=["node.created"], call=code(put_into_rack)),
    ],
)
