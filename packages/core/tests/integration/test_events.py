# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Live events: in order, at once, to be taken up again anywhere, ended with the deployment."""

from __future__ import annotations

import threading
import time

import httpx
import msgspec
from simulation import until
from stoker_sdk.extension_points import tasks


def read(simulation, deployment, last=None, most=None):
    """The stream as it is on the wire: (id, event, data, moment of arrival); cut off after ``most`` of them."""
    token = (simulation.data / "admin-token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}"} | ({"Last-Event-ID": str(last)} if last is not None else {})
    found, fields = [], {}
    address = f"{simulation.url}/api/deployments/{deployment['id']}/events"
    with httpx.stream("GET", address, headers=headers, timeout=20) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        for line in response.iter_lines():
            name, _, value = line.partition(": ")
            if line and name:
                fields[name] = value
            elif fields.get("data"):
                found.append((int(fields["id"]), fields["event"], msgspec.json.decode(fields["data"]), time.time()))
                fields = {}
                if len(found) == most:
                    break
    return found


def environment(simulation, name, steps=3, delay=0.0):
    made = [tasks.Shell(id=f"t{step}", roles=[name], run=f"{name}-t{step}") for step in range(steps)]
    simulation.environment(name, *made, nodes=2)
    simulation.behave({"match": f"{name}-", "delay": delay})
    return name


def without_times(events):
    return [event[:3] for event in events]


def test_events_come_in_order_and_end_with_the_deployment(simulation):
    deployment = simulation.deploy(environment(simulation, "ordered"))
    events = read(simulation, deployment)
    ids = [identity for identity, _, _, _ in events]
    assert ids == sorted(set(ids))
    assert all((data["id"], data["kind"]) == (identity, kind) for identity, kind, data, _ in events)
    assert [data["state"] for _, kind, data, _ in events if kind == "state"] == ["running", "ready"]
    assert (events[0][1], events[-1][1]) == ("state", "state")
    for node in ("ordered1", "ordered2"):
        steps = [(kind, data["task"]) for _, kind, data, _ in events if data["node"] == node]
        assert steps == [(kind, f"ordered.t{step}") for step in range(3) for kind in ("dispatched", "finished")]


def test_who_reconnects_gets_exactly_what_was_missed(simulation):
    name = environment(simulation, "interrupted", delay=0.3)
    running = simulation.client.deploy(name)
    pieces, last = [], 0
    while not pieces or pieces[-1][2].get("state") != "ready":
        piece = read(simulation, running, last=last, most=3)  # then the connection is closed, in the middle of things
        assert piece, pieces
        pieces += piece
        last = pieces[-1][0]
    whole = read(simulation, running)
    assert without_times(pieces) == without_times(whole)
    assert len(whole) == 2 + 2 * 2 * 3
    middle = whole[5][0]
    assert without_times(read(simulation, running, last=middle)) == without_times(whole[6:])
    assert read(simulation, running, last=whole[-1][0]) == []


def test_a_wrong_last_event_id_is_refused(simulation):
    deployment = simulation.deploy(environment(simulation, "refused"))
    token = (simulation.data / "admin-token").read_text().strip()
    for wrong in ("x", "1.5"):
        headers = {"Authorization": f"Bearer {token}", "Last-Event-ID": wrong}
        answer = httpx.get(f"{simulation.url}/api/deployments/{deployment['id']}/events", headers=headers)
        assert answer.status_code == 400
        assert "header Last-Event-Id" in answer.json()["detail"]


def test_events_arrive_while_it_happens(simulation):
    name = environment(simulation, "live", delay=0.5)
    running = simulation.client.deploy(name)
    events = read(simulation, running)
    assert events[-1][2]["state"] == "ready"
    late = [arrived - data["at"] for _, _, data, arrived in events]
    assert max(late) < 4, late  # the heartbeat, which would carry a missed one, comes every ten seconds
    assert events[-1][3] - events[0][3] > 1, "they did not come one by one"


def test_several_followers_all_see_everything_at_once(simulation):
    name = environment(simulation, "popular", steps=12)
    running = simulation.client.deploy(name)
    seen = {}
    threads = [
        threading.Thread(target=lambda number=number: seen.update({number: read(simulation, running)})) for number in range(6)
    ]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert time.monotonic() - began < 9
    assert len(seen) == 6
    assert all(without_times(events) == without_times(seen[0]) for events in seen.values())
    assert seen[0][-1][2]["state"] == "ready"


def test_a_follower_survives_the_server(own_simulation):
    simulation = own_simulation
    name = environment(simulation, "followed", delay=0.7)
    running = simulation.client.deploy(name)
    seen = []
    thread = threading.Thread(target=lambda: seen.extend(simulation.client.events(running["id"])))
    thread.start()
    until(lambda: len(seen) > 3, "some events")
    simulation.server.kill()
    simulation.server.start()
    thread.join(30)
    assert not thread.is_alive()
    whole = read(simulation, running)
    assert [event["id"] for event in seen] == [identity for identity, _, _, _ in whole]
    assert seen[-1]["state"] == "ready"
