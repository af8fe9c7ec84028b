from stoker_sdk import Plugin
from stoker_sdk.context import Context, Event
from stoker_sdk.extension_points import events, records
from stoker_sdk.model.code import code

SEEN = {"type": "object", "properties": {"event": {"type": "string"}, "at": {"type": "number"}}, "required": ["event"]}


def remember(event: Event, context: Context) -> None:
    """Told twice it writes the same again: events come at least once."""
    context.records.put("last_seen", event.object_id, {"event": event.name, "at": event.at})


def forget(event: Event, context: Context) -> None:
    """The node has left the environment."""
    context.records.delete("last_seen", [event.object_id])


plugin = Plugin(
    name="last-seen",
    version="1.0.0",
    title="When something last happened to a node",
    contributions=[
        records.Collection(name="last_seen", json_schema=SEEN, key_of="node"),
        events.EventHandler(name="remember", events=["node.created", "node.changed"], call=code(remember)),
        events.EventHandler(name="forget", events=["node.removed"], call=code(forget), deadline=5),
    ],
)
