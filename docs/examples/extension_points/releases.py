from stoker_sdk import Plugin
from stoker_sdk.extension_points import releases, roles

plugin = Plugin(
    name="wiki",
    version="1.0.0",
    title="A wiki as a release",
    contributions=[
        releases.Release(
            name="wiki-debian12",
            product="wiki",
            version="3.1",
            title="Wiki on Debian 12",
            operating_systems=["debian>=12,<13"],
        ),
        roles.Role(name="wiki", title="Wiki server", min=1),
    ],
)
