from collections.abc import Mapping

from stoker_sdk import Plugin, code
from stoker_sdk.context import Context, Job
from stoker_sdk.extension_points import actions
from stoker_sdk.model.json_value import JSON

ROWS = 20


def count(job: Job, context: Context) -> Mapping[str, JSON]:
    """Count what stands in the shelves, a row at a time; after a restart from the row that it came to."""
    done = job.state if isinstance(job.state, int) else 0
    for row in range(done, ROWS):
        if job.cancelled:
            job.log(f"cancelled before row {row}")
            break
        if job.form["verbose"]:
            job.log(f"row {row}")
        job.progress((row + 1) / ROWS, f"row {row + 1} of {ROWS}")
        job.checkpoint(row + 1)
        done = row + 1
    return {"rows": done}


plugin = Plugin(
    name="shelves",
    version="1.0.0",
    title="Shelves of nodes",
    contributions=[
        actions.Action(
            name="count",
            title="Count what stands in the shelves",
            call=code(count),
            target="environment",
            form={
                "type": "object",
                "properties": {"verbose": {"type": "boolean", "title": "Log each row", "default": False}},
                "additionalProperties": False,
            },
            restartable=True,
            deadline=600,
            json_result={"type": "object", "properties": {"rows": {"type": "integer"}}, "required": ["rows"]},
        ),
    ],
)
