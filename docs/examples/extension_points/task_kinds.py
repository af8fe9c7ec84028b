import pydantic
from stoker_sdk import Plugin, ref
from stoker_sdk.extension_points import task_kinds, tasks


class SwapParameters(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", title="Swap")

    path: str
    megabytes: int = pydantic.Field(ge=1)


plugin = Plugin(
    name="swap",
    version="1.0.0",
    title="Swap files",
    contributions=[
        task_kinds.TaskKind(
            name="swap_file",
            title="Have a swap file of a size",
            executable="files/swap_file.py",
            parameters=task_kinds.schema_of(SwapParameters),
            dry_run=True,
            idempotent=True,
        ),
        tasks.Custom(
            id="swap",
            roles=["*"],
            kind="swap_file",
            parameters={"path": "/swapfile", "megabytes": ref("node.facts.memory_bytes / 2097152")},
        ),
    ],
)
