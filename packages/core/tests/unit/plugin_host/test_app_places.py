# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Which version answers where, and what ends requests of one that does not any more."""

from __future__ import annotations

import asyncio

import pytest
from stoker.domain.actor import SYSTEM
from stoker.errors import NotFoundError
from stoker.plugin_host import app_traffic
from stoker.plugin_host.app_addresses import Address
from stoker.plugin_host.app_places import PluginGoneError, place_of
from stoker.plugin_host.app_traffic import COME_AGAIN, NOT_ALLOWED, Traffic
from stoker.plugin_host.registry import EnvironmentEntry, PluginEntry, Registry, VersionEntry

REGISTRY = Registry(
    plugins={
        "hello": PluginEntry(
            default="2",
            versions={"1": VersionEntry(digest="a", application=True), "2": VersionEntry(digest="b", application=True)},
        ),
        "mute": PluginEntry(default="1", versions={"1": VersionEntry(digest="c")}),
    },
    environments={"e1": EnvironmentEntry(name="prod", plugins={"hello": "1"}), "e2": EnvironmentEntry(name="test")},
    gone={"old": "it was uninstalled"},
)


def address(plugin: str, environment: str = "") -> Address:
    return Address(plugin=plugin, environment=environment, root="", path="/")


def test_the_server_has_its_default_and_an_environment_its_own() -> None:
    assert place_of(REGISTRY, address("hello")).version == "2"
    for key in ("e1", "prod"):
        found = place_of(REGISTRY, address("hello", key))
        assert (found.version, found.environment_id, found.environment_name) == ("1", "e1", "prod")


@pytest.mark.parametrize(
    ("plugin", "environment", "why"),
    [
        ("none", "", "is not installed"),
        ("mute", "", "has no application"),
        ("hello", "e2", "is not enabled in environment test"),
        ("hello", "e3", "environment 'e3' is not there"),
        ("old", "", "answers no more: it was uninstalled"),
        ("old", "e1", "answers no more: it was uninstalled"),
    ],
)
def test_where_nothing_answers_the_reason_is_told(plugin, environment, why) -> None:
    with pytest.raises(NotFoundError, match=why) as told:
        place_of(REGISTRY, address(plugin, environment))
    assert isinstance(told.value, PluginGoneError) == (plugin == "old")


async def test_a_change_ends_streams_at_once_and_other_requests_when_their_time_is_over() -> None:
    current = {"": "1", "e1": "1"}

    async def stands(_who: object) -> bool:
        return True

    traffic = Traffic(lambda _plugin, environment: current[environment], stands, drain=0.3)
    with (
        traffic.passing("hello", "", "1", SYSTEM) as stream,
        traffic.passing("hello", "", "1", SYSTEM) as request,
        traffic.passing("hello", "e1", "1", SYSTEM) as elsewhere,
    ):
        stream.stream = True
        assert traffic.count("hello", "1") == 3
        await asyncio.sleep(0.12)
        assert not stream.closed
        current[""] = "2"
        await asyncio.sleep(0.12)
        assert (stream.closed, stream.code) == ("plugin hello 1 is no longer in use here, 2 is", COME_AGAIN)
        assert not request.closed
        await asyncio.sleep(0.4)
        assert request.closed
        assert not elsewhere.closed
    assert traffic.count("hello", "1") == 0


async def test_a_stream_ends_with_its_readers_rights_and_with_its_worker(monkeypatch) -> None:
    monkeypatch.setattr(app_traffic, "RIGHTS_SECONDS", 0.05)
    leaving = asyncio.Event()

    async def stands(who: object) -> bool:
        return who is not SYSTEM

    traffic = Traffic(lambda _plugin, _environment: "1", stands, drain=30)
    with (
        traffic.passing("hello", "", "1", SYSTEM) as one,
        traffic.passing("hello", "", "1", app_traffic.STRANGER, leaving) as two,
    ):
        one.stream = two.stream = True
        await asyncio.sleep(0.3)
        assert (bool(one.closed), one.code) == (True, NOT_ALLOWED)
        assert not two.closed
        leaving.set()
        await asyncio.sleep(0.12)
        assert "ends" in two.closed
