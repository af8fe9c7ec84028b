# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Following a deployment to its end, and telling how it ended."""

from __future__ import annotations

from typing import cast

from rich.live import Live
from rich.text import Text

from stoker.cli import output
from stoker.cli.main import printable
from stoker.cli.output import console, plural, say
from stoker.cli.progress import Progress
from stoker.client import FINAL_STATES, StokerClient
from stoker.client.documents import AttemptDocument, DeploymentDocument, FailureDocument

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
                for event in client.events(deployment["id"]):
                    progress.apply(event)
                live.refresh()
        else:
            for event in client.events(deployment["id"]):
                line = progress.apply(event)
                if line:
                    say(line)
    except KeyboardInterrupt:
        say(f"\nThe deployment goes on without you. Watch it again: stoker deployments watch {deployment['id']}")
        say(f"Stop it: stoker deployments stop {deployment['id']}")
        return 130
    return tell_end(client, client.deployment(deployment["id"]))


def tell_end(client: StokerClient, deployment: DeploymentDocument) -> int:
    """Say how a deployment ended, with every failure; returns the exit status."""
    state = deployment.get("state", "")
    counts = deployment.get("counts") or {}
    finished_at, created_at = deployment.get("finished_at"), deployment.get("created_at")
    took = f" in {output.duration(finished_at - created_at)}" if finished_at and created_at else ""
    if state == "ready":
        skipped = f", {counts['skipped']} skipped" if counts.get("skipped") else ""
        say(f"ready: {plural(counts.get('finished', 0), 'task')} done{skipped}{took}", "bold green")
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
