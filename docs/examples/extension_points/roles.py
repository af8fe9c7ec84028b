from stoker_sdk import Plugin
from stoker_sdk.extension_points import roles

plugin = Plugin(
    name="web-roles",
    version="1.0.0",
    title="Roles of a small web site",
    contributions=[
        roles.Role(name="proxy", title="Proxy", description="Takes requests from outside.", min=1, max=2),
        roles.Role(name="web", title="Web server", min=1, recommended=3, conflicts=["proxy"], tolerance="25%"),
    ],
)
