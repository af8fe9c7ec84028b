from stoker_sdk import Plugin, ref
from stoker_sdk.extension_points import tasks
from stoker_sdk.extension_points.task_patches import Extend, Replace, TaskPatch

plugin = Plugin(
    name="announcer",
    version="1.0.0",
    title="Announce the site when it is published",
    requires_plugins=["site"],
    contributions=[
        tasks.Shell(id="announce", roles=["web"], run="logger 'the site is there'", after=["site.publish"]),
        TaskPatch(
            task="site.publish",
            replace=Replace(environment={"NAME": "the site on " + ref.node.name}, timeout=60),
            reason="Readers want to know what it is.",
        ),
        TaskPatch(task="site.published", extend=Extend(after=["announce"])),
        TaskPatch(task="ntp.check.serves", skip=True, optional=True, reason="Time is not our business."),
    ],
)
