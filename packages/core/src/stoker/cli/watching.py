# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Following a deployment to its end, and telling how it ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import click
from rich.live import Live
from rich.text import Text

from stoker.cli import output
from stoker.cli.output import console, plural, say
from stoker.cli.problems import printable
from stoker.cli.progress import Progress
from stoker.client import FINAL_STATES, StokerClient
from stoker.client.documents import AttemptDocument, DeploymentDocument, EventDocument, FailureDocument
from stoker.errors import ServerUnreachableError, StokerError

PATIENCE = 60.0
"""Seconds in which a server may come back."""
_OUTPUT_LINES = 20


def follow(client: StokerClient, deployment: DeploymentDocument) -> int:
    """Show live progress until the deployment ends; Ctrl-C leaves it running.

    Returns:
        The exit status: 0 if it is ready, 1 if it is not, 130 if the watcher left.
    """
    progress = Progress.of(deployment, client.plan_tasks(deployment["plan"]))
    screen = console()
    try:
        if screen.is_terminal:
            with Live(progress, console=screen, refresh_per_second=8) as live:
                for event in _events(client, deployment):
                    progress.apply(event)
                live.refresh()
        else:
            for event in _events(client, deployment):
                line = progress.apply(event)
                if line:
                    say(line)
    except KeyboardInterrupt:
        say(f"\nThe deployment goes on without you. Watch it again: stoker deployments watch {deployment['id']}")
        say(f"Stop it: stoker deployments stop {deployment['id']}")
        return 130
    return tell_end(client, client.deployment(deployment["id"]))


def follow_silently(client: StokerClient, deployment: DeploymentDocument) -> int:
    """Wait for the end and print it as JSON; returns the exit status as ``follow`` does."""
    for _event in _events(client, deployment):
        pass  # only its end is told
    ended = client.deployment(deployment["id"])
    output.write_json(ended)
    return 0 if ended.get("state") == "ready" else 1


def _events(client: StokerClient, deployment: DeploymentDocument) -> Iterator[EventDocument]:
    """The events; says so when the server is lost and when it is back, and gives up after a minute."""
    try:
        yield from client.events(deployment["id"], patience=PATIENCE, tell=_tell_connection)
    except ServerUnreachableError as error:
        raise ServerUnreachableError(
            f"the server was lost and did not come back within {PATIENCE:.0f} s: {error.detail}",
            remedy="The deployment goes on as soon as the server runs again. "
            f"Watch it then: stoker deployments watch {deployment['id']}",
        ) from error


def _tell_connection(lost: StokerError | None) -> None:
    text = "the server is back." if lost is None else f"lost the server; trying again ... ({lost.detail})"
    click.echo(printable(text), err=True)


def tell_end(client: StokerClient, deployment: DeploymentDocument) -> int:
    """Say how a deployment ended, with every failure; returns the exit status."""
    state = deployment.get("state", "")
    counts = deployment.get("counts") or {}
    finished_at, created_at = deployment.get("finished_at"), deployment.get("created_at")
    took = f" in {output.duration(finished_at - created_at)}" if finished_at and created_at else ""
    if state == "ready":
        skipped = f", {counts['skipped']} skipped" if counts.get("skipped") else ""
        say(f"ready: {_tasks_and_checks(client, deployment)} done{skipped}{took}", "bold green")
        return 0
    reason = deployment.get("reason", "")
    say(f"{state}{took}{f': {reason}' if reason else ''}", f"bold {output.STATE_COLOURS.get(state, '')}".strip())
    for failure in failures(client, deployment):
        _show_failure(failure)
    for unknown in deployment.get("unknowns") or []:
        node, task = unknown.get("node"), unknown.get("task")
        say(f"{node}: nobody knows whether {task} came to its end. Look at the node, then say so:", "yellow")
        say(f"  stoker deployments answer {deployment['id']} {node} {task} done|rerun")
    if state in FINAL_STATES:
        say(f"Go on from what failed: stoker deployments retry {deployment['id']}")
    return 1


def _tasks_and_checks(client: StokerClient, deployment: DeploymentDocument) -> str:
    """``4 tasks and 2 checks``, told apart as the plan tells them."""
    finished = (deployment.get("counts") or {}).get("finished", 0)
    planned = (client.plan(deployment["plan"]).get("counts") or {}).get("checks", 0) if finished else 0
    checks = min(planned, finished)
    parts = [plural(finished - checks, "task")] if finished > checks or not checks else []
    return " and ".join([*parts, *([plural(checks, "check")] if checks else [])])


def failures(client: StokerClient, deployment: DeploymentDocument) -> list[FailureDocument]:
    """The tasks that failed for good: as the server lists them, else the last attempts that did not exit 0."""
    if "failures" in deployment:
        return deployment["failures"]
    last: dict[tuple[str, str], AttemptDocument] = {}
    for attempt in client.attempts(deployment["id"]):
        last[attempt["node"], attempt["task"]] = attempt
    return [cast("FailureDocument", attempt) for attempt in last.values() if attempt.get("exit_status")]


def _show_failure(failure: FailureDocument) -> None:
    text = Text("✘ ", style="bold red").append(
        f"{printable(failure.get('node', ''))}: {printable(failure.get('task', ''))}", style="bold"
    )
    text.append(f"  exit status {failure.get('exit_status', '?')}", style="red")
    console().print(text)
    for line in failure.get("command", "").strip().splitlines()[:6]:
        say(f"    $ {line}", "cyan")
    for line in failure.get("output", "").strip().splitlines()[-_OUTPUT_LINES:]:
        say(f"    {line}", "bright_black")
