from stoker_sdk import Plugin
from stoker_sdk.extension_points import components

plugin = Plugin(
    name="site-storage",
    version="1.0.0",
    title="Where a site keeps its files",
    contributions=[
        components.Group(name="storage", title="Storage", choose="one", releases=["site>=1"]),
        components.Component(name="storage:local", title="Disks of the nodes", default=True),
        components.Component(
            name="storage:shared",
            title="A shared file system",
            requires=["network"],
            conflicts=["network:slow"],
            plugins=["shared-files>=2"],
        ),
        components.Component(name="network:fast", title="10 Gbit/s and more"),
        components.Component(name="network:slow", title="Less than that"),
    ],
)
