from stoker_sdk import Plugin
from stoker_sdk.extension_points import permissions

plugin = Plugin(
    name="shelves",
    version="1.0.0",
    title="Shelves of nodes",
    contributions=[
        permissions.Permission(name="write_shelves", title="Say which node stands on which shelf", access="operator"),
    ],
)
