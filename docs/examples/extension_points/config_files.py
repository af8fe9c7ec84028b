from stoker_sdk import Plugin, ref
from stoker_sdk.extension_points import config_files

plugin = Plugin(
    name="limits",
    version="1.0.0",
    title="Kernel limits for many connections",
    contributions=[
        config_files.ConfigFile(path="/etc/example.ini", format="ini", header="Limits of the example service"),
        config_files.Option(path="/etc/example.ini", section="DEFAULT", key="workers", value=4, level="default"),
        config_files.Option(path="/etc/example.ini", section="network", key="address", value=ref.node.address),
        config_files.ListItem(path="/etc/example.ini", section="network", key="peers", items=ref("nodes.map(n, n.name)")),
        config_files.WholeFile(path="/etc/example.motto", content="Small steps.\n", mode="0640"),
    ],
)
