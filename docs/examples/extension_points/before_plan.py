from collections.abc import Sequence

from stoker_sdk import Plugin
from stoker_sdk.context import PlanInput
from stoker_sdk.extension_points import before_plan, config_files
from stoker_sdk.model.code import code
from stoker_sdk.model.contribution import Contribution


def pairs(plan: PlanInput) -> Sequence[Contribution]:
    """Nodes watch each other in pairs, by name; an odd one watches itself."""
    names = [node.name for node in plan.nodes]
    lines = [f"{first} {second}\n" for first, second in zip(names[::2], [*names[1::2], *names[-1:]], strict=False)]
    return [config_files.WholeFile(path="/etc/pairs", content="".join(lines))]


plugin = Plugin(
    name="pairs",
    version="1.0.0",
    title="Nodes watch each other in pairs",
    contributions=[
        before_plan.BeforePlan(
            name="pairs",
            call=code(pairs),
            points=["config_files.whole_file"],
            names=["config_files.whole_file /etc/pairs"],
        ),
    ],
)
