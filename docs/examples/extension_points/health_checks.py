from stoker_sdk import Plugin
from stoker_sdk.extension_points import health_checks

plugin = Plugin(
    name="disk-room",
    version="1.0.0",
    title="Room on the root file system",
    contributions=[
        health_checks.HealthCheck(
            id="root-has-room",
            title="The root file system is less than 90 % full",
            roles=["*"],
            moment="before",
            run="test \"$(df --output=pcent / | tail -n 1 | tr -dc 0-9)\" -lt 90",
        ),
    ],
)
