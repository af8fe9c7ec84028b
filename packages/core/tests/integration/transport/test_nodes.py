# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The one suite for every transport: a modelled node behaves as a real one does."""

from __future__ import annotations

import asyncio
import hashlib

import asyncssh
import msgspec
import pytest
from stoker.domain.action import (
    CommandAction,
    FileChange,
    FilesAction,
    PackageChange,
    PackagesAction,
    RebootAction,
    ServiceAction,
    WaitForAction,
)
from stoker.domain.node import Watch
from stoker.errors import AttemptExistsError, HostKeyChangedError, NodeError

HELLO, FAIL, FOREVER, LATE = "echo hello", "echo broken; exit 3", "echo waiting; sleep 60", "sleep 1; echo late"


async def look_at(link, path):
    return (await link.observe(Watch(files=[path]))).files[path]


def write(place, path, mode="0640"):
    return FileChange(path=path, content="0", owner=place.owner, group=place.group, mode=mode)


async def test_connect_names_boot_and_spool_and_they_stay(place):
    first = await place.connect()
    second = await place.connect()
    assert first.identity.boot_id
    assert first.identity.spool_id
    assert first.identity.host_key
    assert first.identity == second.identity
    facts = await first.facts()
    assert facts.boot_id == first.identity.boot_id
    assert facts.os_family == "debian"
    assert facts.cpus > 0
    assert facts.memory_bytes > 0
    await first.close()
    await second.close()


async def test_changed_host_key_is_refused(place):
    link = await place.connect()
    await link.close()
    known = msgspec.structs.replace(place.target, host_key=link.identity.host_key)
    again = await place.transport.connect(known)
    await again.close()
    other = asyncssh.generate_private_key("ssh-rsa").export_public_key().decode().strip()
    changed = msgspec.structs.replace(place.target, host_key=other)
    with pytest.raises(HostKeyChangedError, match="another host key"):
        await place.transport.connect(changed)


async def test_command_ends_with_status_output_and_times(place, given):
    link = await place.connect()
    good = await link.execute("1.0.0.1", CommandAction(run=HELLO), given(), 20)
    assert (good.exit_status, good.output, good.changed, good.simulated) == (0, "hello\n", True, False)
    assert 0 < good.started_at <= good.finished_at
    bad = await link.execute("1.1.0.1", CommandAction(run=FAIL), given(), 20)
    assert (bad.exit_status, bad.output) == (3, "broken\n")
    await link.close()


async def test_claimed_once_for_ever(place, given):
    link, other = await place.connect(), await place.connect()
    assert (await link.look("1.0.0.1")).state == "missing"
    await link.execute("1.0.0.1", CommandAction(run=HELLO), given(), 20)
    for claimer in (link, other):
        with pytest.raises(AttemptExistsError):
            await claimer.execute("1.0.0.1", CommandAction(run=HELLO), given(), 20)
    entry = await other.look("1.0.0.1")
    assert (entry.state, entry.boot_id) == ("finished", link.identity.boot_id)
    assert (await other.attach("1.0.0.1", 5)).output == "hello\n"
    await other.forget(["1.0.0.1", "unknown"])
    assert (await link.look("1.0.0.1")).state == "missing"
    with pytest.raises(NodeError):
        await link.attach("1.0.0.1", 5)
    await link.close()
    await other.close()


async def test_two_links_race_for_one_attempt(place, given):
    links = [await place.connect() for _ in range(4)]
    results = await asyncio.gather(
        *(link.execute("1.0.0.1", CommandAction(run=LATE), given(), 20) for link in links), return_exceptions=True
    )
    assert sum(not isinstance(result, BaseException) for result in results) == 1
    assert sum(isinstance(result, AttemptExistsError) for result in results) == 3
    for link in links:
        await link.close()


async def test_lost_connection_then_attach(place, given):
    link = await place.connect()
    await place.cut(link, "1.0.0.1")
    again = await place.connect()
    assert (await again.look("1.0.0.1")).state == "running"
    outcome = await again.attach("1.0.0.1", 20)
    assert (outcome.exit_status, outcome.output) == (0, "went on\n")
    assert (await again.look("1.0.0.1")).state == "finished"
    await again.close()


async def test_node_kills_what_takes_too_long(place, given):
    link = await place.connect()
    outcome = await link.execute("1.0.0.1", CommandAction(run=FOREVER), given(), 1)
    assert (outcome.exit_status, outcome.output) == (124, "waiting\n")
    assert (await link.execute("1.1.0.1", CommandAction(run=HELLO), given(), 20)).ok
    await link.close()


async def test_guard_creates(place, given):
    link = await place.connect()
    path = f"{place.folder}/there"
    action = CommandAction(run=HELLO, creates=path)
    assert (await link.execute("1.0.0.1", action, given(), 20)).changed
    await place.write(path, "x")
    outcome = await link.execute("1.0.0.2", action, given(), 20)
    assert (outcome.exit_status, outcome.changed, outcome.output) == (0, False, "")
    await link.close()


@pytest.mark.parametrize("content", [b"", b"text\n", b"no end of line", bytes(range(256)) * 3, b"'; $(x) \\ \n" * 9])
async def test_files_arrive_byte_for_byte(place, given, content):
    link = await place.connect()
    path = f"{place.folder}/a b's/file.conf"
    outcome = await link.execute("1.0.0.1", FilesAction(files=[write(place, path)]), given({"0": content}), 20)
    assert outcome.ok, outcome.output
    seen = await look_at(link, path)
    assert (seen.kind, seen.sha256, seen.mode) == ("file", hashlib.sha256(content).hexdigest(), "0640")
    assert (seen.owner, seen.group) == (place.owner, place.group)
    try:
        assert seen.content == content.decode()
    except UnicodeDecodeError:
        assert seen.content is None
    await link.close()


async def test_large_upload(place, given):
    content = bytes(range(251)) * 20_000
    link = await place.connect()
    path = f"{place.folder}/large"
    outcome = await link.execute("1.0.0.1", FilesAction(files=[write(place, path)]), given({"0": content}), 60)
    assert outcome.ok, outcome.output
    assert (await look_at(link, path)).sha256 == hashlib.sha256(content).hexdigest()
    await link.close()


def folder(place, path):
    return FileChange(path=path, change="directory", owner=place.owner, group=place.group, mode="0755")


def restore(*paths):
    return FilesAction(files=[FileChange(path=path, change="restore") for path in sorted(paths, reverse=True)])


async def test_nothing_stays_of_a_tree_that_was_made(place, given):
    link = await place.connect()
    top = f"{place.folder}/new"
    paths = [f"{top}/er/x", f"{top}/dir", f"{top}/dir/deep/er/y"]
    changes = [write(place, paths[0]), folder(place, paths[1]), write(place, paths[2])]
    assert (await link.execute("1.0.0.1", FilesAction(files=changes), given({"0": b"x"}), 20)).ok
    outcome = await link.execute("1.0.0.2", restore(*paths), given(), 20)
    assert outcome.ok, outcome.output
    assert (await look_at(link, top)).kind == "absent"
    await link.close()


async def test_folders_go_with_the_last_path_of_ours_in_them(place, given):
    link = await place.connect()
    top = f"{place.folder}/shared"
    one, two = f"{top}/one", f"{top}/two"
    for number, path in enumerate((one, two)):
        action = FilesAction(files=[write(place, path)])
        assert (await link.execute(f"1.0.0.{number}", action, given({"0": b"x"}), 20)).ok
    assert (await link.execute("1.1.0.1", restore(one), given(), 20)).ok
    assert (await look_at(link, two)).kind == "file"
    assert (await link.execute("1.1.0.2", restore(two), given(), 20)).ok
    assert (await look_at(link, top)).kind == "absent"
    await link.close()


async def test_a_folder_with_what_is_not_ours_stays(place, given):
    link = await place.connect()
    top = f"{place.folder}/kept"
    assert (await link.execute("1.0.0.1", FilesAction(files=[write(place, f"{top}/ours")]), given({"0": b"x"}), 20)).ok
    await place.write(f"{top}/theirs", "x")
    for number in (2, 3):  # what is given back already is given back again after a broken connection
        assert (await link.execute(f"1.0.0.{number}", restore(f"{top}/ours"), given(), 20)).ok
    assert (await look_at(link, f"{top}/theirs")).kind == "file"
    refused = await link.execute("1.0.0.4", FilesAction(files=[FileChange(path=top, change="remove")]), given(), 20)
    assert refused.exit_status == 1
    assert "not empty" in refused.output
    await link.close()


async def test_what_was_only_kept_free_is_left_alone(place, given):
    link = await place.connect()
    path = f"{place.folder}/free"
    away = FilesAction(files=[FileChange(path=path, change="remove")])
    assert (await link.execute("1.0.0.1", away, given(), 20)).ok
    await place.write(path, "made by hand\n")
    assert (await link.execute("1.0.0.2", restore(path), given(), 20)).ok
    assert (await look_at(link, path)).kind == "file"
    # But what was written there afterwards is ours.
    other = f"{place.folder}/ours"
    for number, change in enumerate((FileChange(path=other, change="remove"), write(place, other))):
        assert (await link.execute(f"1.1.0.{number}", FilesAction(files=[change]), given({"0": b"x"}), 20)).ok
    assert (await link.execute("1.2.0.1", restore(other), given(), 20)).ok
    assert (await look_at(link, other)).kind == "absent"
    await link.close()


async def test_what_is_discarded_does_not_come_back(place, given):
    link = await place.connect()
    path = f"{place.folder}/data"
    await place.write(path, "x")
    assert (await link.execute("1.0.0.1", FilesAction(files=[FileChange(path=path, change="discard")]), given(), 20)).ok
    assert (await link.execute("1.0.0.2", restore(path), given(), 20)).ok
    assert (await look_at(link, path)).kind == "absent"
    await link.close()


@pytest.mark.parametrize("change", ["write", "remove"])
async def test_original_is_kept_once_and_comes_back(place, given, change):
    link = await place.connect()
    path = f"{place.folder}/original"
    await place.write(path, "of the distribution\n")
    before = await look_at(link, path)
    for number, text in enumerate((b"one", b"two")):
        action = FilesAction(files=[write(place, path)])
        if change == "remove":
            action = FilesAction(files=[FileChange(path=path, change="remove")])
        assert (await link.execute(f"1.{number}.0.1", action, given({"0": text}), 20)).ok
    assert (await look_at(link, path)).content == ("two" if change == "write" else None)
    restore = FilesAction(files=[FileChange(path=path, change="restore")])
    assert (await link.execute("1.2.0.1", restore, given(), 20)).ok
    assert await look_at(link, path) == before
    await link.close()


async def test_restore_of_what_was_not_there_takes_it_away(place, given):
    link = await place.connect()
    path, folder = f"{place.folder}/new/deep/file", f"{place.folder}/empty"
    files = [write(place, path), FileChange(path=folder, change="directory", owner=place.owner, group=place.group, mode="0750")]
    assert (await link.execute("1.0.0.1", FilesAction(files=files), given({"0": b"x"}), 20)).ok
    seen = await look_at(link, folder)
    assert (seen.kind, seen.mode) == ("directory", "0750")
    back = [FileChange(path=path, change="restore"), FileChange(path=folder, change="restore")]
    assert (await link.execute("1.1.0.1", FilesAction(files=back), given(), 20)).ok
    for gone in (path, folder, f"{place.folder}/new"):
        assert (await look_at(link, gone)).kind == "absent"
    await link.close()


async def test_waits_for_a_file(place, given):
    link = await place.connect()
    path = f"{place.folder}/awaited"
    action = WaitForAction(file=path, interval=0.1)
    late = await link.execute("1.0.0.1", action, given(), 1)
    assert late.exit_status == 124
    await place.write(path, "")
    assert (await link.execute("1.0.0.2", action, given(), 10)).ok
    await link.close()


async def test_packages(machine, given):
    link = await machine.connect()
    assert "base-files" in (await link.observe(Watch(packages=["base-files", "figlet"]))).packages
    add = PackagesAction(install=[PackageChange("figlet")])
    outcome = await link.execute("1.0.0.1", add, given(), 300)
    assert outcome.ok, outcome.output
    version = (await link.observe(Watch(packages=["figlet"]))).packages["figlet"]
    misfit = PackagesAction(install=[PackageChange("figlet", constraint=">=99")])
    assert not (await link.execute("1.1.0.1", misfit, given(), 300)).ok
    exact = PackagesAction(install=[PackageChange("figlet", version=version)])
    assert (await link.execute("1.2.0.1", exact, given(), 300)).ok
    outcome = await link.execute("1.3.0.1", PackagesAction(remove=["figlet"]), given(), 300)
    assert outcome.ok, outcome.output
    assert (await link.observe(Watch(packages=["figlet"]))).packages == {}
    await link.close()


async def test_services(machine, given):
    link = await machine.connect()
    unit = b"[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"
    files = FilesAction(files=[FileChange(path="/etc/systemd/system/suite.service", content="0")])
    assert (await link.execute("1.9.0.1", files, given({"0": unit}), 20)).ok
    start, stop = ServiceAction(name="suite"), ServiceAction(name="suite", state="stopped", enabled=False)
    for number, (action, wanted) in enumerate([(stop, False), (start, True), (stop, False), (start, True)]):
        outcome = await link.execute(f"1.{number}.0.1", action, given(), 60)
        assert outcome.ok, outcome.output
        seen = (await link.observe(Watch(services=["suite", "no-such-unit"]))).services
        assert (seen["suite"].active, seen["suite"].enabled, seen["suite"].known) == (wanted, wanted, True)
        assert not seen["no-such-unit"].known
    await link.close()


async def test_reboot_ends_with_another_boot(machine, given):
    link = await machine.connect()
    before = link.identity
    outcome = await link.execute("1.0.0.1", RebootAction(), given(), 90)
    assert outcome.ok, outcome.output
    assert link.identity.boot_id != before.boot_id
    assert link.identity.spool_id == before.spool_id
    assert (await link.look("1.0.0.1")).state == "finished"
    await link.close()


async def test_attempt_of_an_earlier_boot_is_claimed_only(machine, given):
    link = await machine.connect()
    running = asyncio.create_task(link.execute("1.0.0.1", CommandAction(run=FOREVER), given(), 100))
    await asyncio.sleep(0.5)
    await machine.reboot()
    with pytest.raises(NodeError):
        await running
    again = await machine.connect()
    entry = await again.look("1.0.0.1")
    assert (entry.state, entry.boot_id) == ("claimed", link.identity.boot_id)
    assert again.identity.boot_id != entry.boot_id
    with pytest.raises(NodeError):
        await again.attach("1.0.0.1", 5)
    await again.close()
