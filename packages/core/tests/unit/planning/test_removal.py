# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What a plugin made, replaced or took away is known until it is given back: through plans and the ledger's rows."""

from __future__ import annotations

import msgspec
import pytest
from making import node, plugin, snapshot
from stoker.domain.action import FileChange, FilesAction
from stoker.domain.node import Observation, ObservedFile
from stoker.domain.plan import Plan
from stoker.domain.snapshot import Applied, AppliedFile, NodeInput, PluginInput, Snapshot
from stoker.orchestration.applied import Ledger
from stoker.planning.plans import make_plan
from stoker_sdk import ref
from stoker_sdk.extension_points import config_files, node_packages, tasks
from stoker_sdk.extension_points.tasks import FileItem

THERE = ObservedFile("file", "0" * 64, "root", "root", "0644", "old\n")
MOTD = "/etc/motd"


def taking(*, on: str = "deploy", removing: bool = False) -> PluginInput:
    items = [FileItem(path=MOTD, state="absent")]
    return plugin("taker", tasks.Files(id="away", roles=["*"], files=items, on=on), removing=removing)  # type: ignore[arg-type]


def seen(**files: ObservedFile) -> Observation:
    return Observation(files={path.replace("_", "/"): file for path, file in files.items()})


def after(before: Snapshot, plan: Plan, files: dict[str, ObservedFile]) -> Snapshot:
    """The snapshot with the rows that the ledger writes, and what is on the node then."""
    ledger = Ledger(plan, before)
    rows: dict[str, AppliedFile] = dict(before.nodes[0].applied.files)
    done: dict[str, str] = dict(before.nodes[0].applied.tasks)
    for instance in plan.instances:
        for change in ledger.finished(instance) if instance.run else []:
            if change.kind == "file" and change.value is None:
                rows.pop(change.key, None)
            elif change.kind == "file" and change.value is not None:
                rows[change.key] = msgspec.json.decode(change.value, type=AppliedFile)
            elif change.kind == "task" and change.value is not None:
                done[change.key] = change.value
    changed = msgspec.structs.replace(before.nodes[0], observed=Observation(files=files), applied=Applied(files=rows, tasks=done))
    return msgspec.structs.replace(before, nodes=[changed])


def without(given: Snapshot, *left: PluginInput) -> Snapshot:
    return msgspec.structs.replace(given, plugins=list(left))


def fates(plan: Plan) -> dict[str, tuple[str, str]]:
    return {file.path: (file.status, file.note) for file in plan.files}


def single(name: str = "a", **files: ObservedFile) -> NodeInput:
    return node(name, observed=seen(**files))


def test_what_was_taken_away_comes_back() -> None:
    first = snapshot([taking()], [single(_etc_motd=THERE)])
    plan = make_plan(first)
    assert fates(plan) == {MOTD: ("remove", "comes back when the plugin goes")}
    second = after(first, plan, {MOTD: ObservedFile()})
    assert second.nodes[0].applied.files[MOTD] == AppliedFile("", ["taker"], gone=True, original=True)
    assert fates(make_plan(second)) == {}
    third = make_plan(without(second, taking(removing=True)))
    assert fates(third) == {MOTD: ("restore", "")}
    assert FilesAction(files=[FileChange(path=MOTD, change="restore")]) in third.actions
    gone = after(second, third, {MOTD: THERE})
    assert gone.nodes[0].applied.files == {}


def test_what_was_only_kept_free_is_no_change() -> None:
    first = snapshot([taking()], [single(_etc_motd=ObservedFile())])
    second = after(first, make_plan(first), {MOTD: ObservedFile()})
    plan = make_plan(without(second, taking(removing=True)))
    assert fates(plan) == {}
    assert FilesAction(files=[FileChange(path=MOTD, change="restore")]) in plan.actions  # the node forgets it too
    assert after(second, plan, {}).nodes[0].applied.files == {}


def test_a_file_that_is_there_again_is_taken_away_again() -> None:
    first = snapshot([taking()], [single(_etc_motd=THERE)])
    second = after(first, make_plan(first), {MOTD: THERE})
    assert fates(make_plan(second)) == {MOTD: ("remove", "is there again")}


@pytest.mark.parametrize(
    ("found", "fate"),
    [(ObservedFile(), ("remove", "")), (THERE, ("restore", "")), (ObservedFile(kind="directory"), ("restore", ""))],
)
def test_what_was_made_is_removed_and_what_was_replaced_is_restored(found: ObservedFile, fate: tuple[str, str]) -> None:
    whole = plugin("maker", config_files.WholeFile(path=MOTD, content="new\n"))
    first = snapshot([whole], [single(_etc_motd=found)])
    plan = make_plan(first)
    content = plan.contents[plan.files[0].content]
    written = ObservedFile("file", content.sha256, "root", "root", "0644", "new\n")
    second = after(first, plan, {MOTD: written})
    # A second deployment sees our own file there and still knows what was before.
    changed = without(second, plugin("maker", config_files.WholeFile(path=MOTD, content="newer\n")))
    third = after(changed, make_plan(changed), {MOTD: written})
    gone = msgspec.structs.replace(whole, removing=True)
    assert fates(make_plan(without(second, gone)))[MOTD] == fate
    assert fates(make_plan(without(third, gone)))[MOTD][0] == fate[0]


def test_beside_new_packages_an_original_cannot_be_told() -> None:
    made = plugin(
        "maker",
        config_files.WholeFile(path=MOTD, content="new\n"),
        node_packages.NodePackages(roles=["*"], packages=["motd"]),
    )
    first = snapshot([made], [single(_etc_motd=ObservedFile())])
    second = after(first, make_plan(first), {MOTD: THERE})
    status, note = fates(make_plan(without(second, msgspec.structs.replace(made, removing=True))))[MOTD]
    assert status == "restore"
    assert note.startswith("if there was one")


def test_rows_of_earlier_versions_are_read() -> None:
    old = msgspec.json.decode(b'{"sha256":"0","plugins":["maker"]}', type=AppliedFile)
    assert (old.gone, old.original) == (False, None)


def test_what_a_plugin_takes_away_when_it_goes_is_gone_for_good_and_its_files_are_given_back() -> None:
    data = tasks.Files(id="data", roles=["*"], files=[FileItem(path=MOTD, state="absent")], on="remove")
    made = plugin("maker", config_files.WholeFile(path=MOTD, content="new\n"), data)
    first = snapshot([made], [single(_etc_motd=ObservedFile())])
    second = after(first, make_plan(first), {MOTD: THERE})
    plan = make_plan(without(second, msgspec.structs.replace(made, removing=True)))
    actions = [plan.actions[item.action] for item in plan.instances]
    assert [change.change for action in actions if isinstance(action, FilesAction) for change in action.files] == [
        "discard",
        "restore",
    ]
    assert after(second, plan, {}).nodes[0].applied.files == {}


def test_what_is_wrong_with_a_plugin_does_not_stop_its_removal() -> None:
    broken = plugin(
        "broken",
        config_files.WholeFile(path=MOTD, content=ref("size(settings.key)")),
        config_files.WholeFile(path="/etc/t", template="lost.j2"),
        tasks.Upload(id="u", roles=["*"], source="lost", path="/etc/u"),
        settings={"key": {"$secret": "key", "version": 1}},
        removing=True,
    )
    rows = Applied(files={MOTD: AppliedFile("0", ["broken"], original=False)})
    plan = make_plan(snapshot([broken], [node("a", observed=seen(_etc_motd=THERE), applied=rows)]))
    assert fates(plan) == {MOTD: ("remove", "was changed on the node since it was deployed")}
