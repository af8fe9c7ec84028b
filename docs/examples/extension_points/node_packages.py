from stoker_sdk import Plugin
from stoker_sdk.extension_points import node_packages

plugin = Plugin(
    name="shell-tools",
    version="1.0.0",
    title="Tools that people miss on a node",
    contributions=[
        node_packages.NodePackages(roles=["*"], packages=["less", node_packages.Package("tmux", ">=3.0")]),
        node_packages.NodePackages(roles=["*"], packages=["procps-ng"], os_family="redhat"),
        # Packages of its own: `stoker-plugin build` reads the files of the folder and lists them in the manifest.
        node_packages.Repository(path="repository/debian"),
    ],
)
