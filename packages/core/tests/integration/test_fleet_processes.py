# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""With several processes: a repeated request is carried out once, and every process tells every change."""

from __future__ import annotations

import threading

import httpx
import pytest
from simulation import Simulation


@pytest.fixture
def several(tmp_path, running_server_class, database_url):
    made = Simulation(running_server_class(tmp_path / "data", database=database_url, processes=2), tmp_path)
    try:
        yield made.start()
    finally:
        made.end()


@pytest.mark.databases("sqlite", "postgresql")
def test_a_key_is_one_request_and_a_change_is_told_by_all_processes(several) -> None:
    headers = {"Authorization": f"Bearer {(several.data / 'admin-token').read_text().strip()}"}
    begun, seen = [threading.Event() for _ in range(4)], {number: [] for number in range(4)}

    def follow(number: int) -> None:
        with httpx.stream(
            "GET", f"{several.url}/api/events", params={"kind": "environment"}, headers=headers, timeout=30
        ) as answer:
            for line in answer.iter_lines():
                begun[number].set()
                if line.startswith("data: "):
                    seen[number].append(line)
                    if len(seen[number]) == 2:
                        return

    followers = [threading.Thread(target=follow, args=(number,), daemon=True) for number in range(4)]
    for follower in followers:
        follower.start()
    assert all(event.wait(20) for event in begun)
    answers = [
        httpx.post(f"{several.url}/api/environments", json={"name": "e"}, headers={**headers, "Idempotency-Key": "k"})
        for _ in range(6)  # each over a connection of its own, so that every process gets some
    ]
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert [answer.headers.get("idempotency-replayed", "") for answer in answers] == ["", *["true"] * 5]
    several.client.create_environment("f")
    for follower in followers:
        follower.join(20)
    assert len(seen[0]) == 2
    assert all(lines == seen[0] for lines in seen.values())
