# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``stoker deployments``: list, show, watch, attempts, stop, retry, diff, answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from stoker.cli import choose, complete, output
from stoker.cli.environment_files import MARKS, show_changes
from stoker.cli.lazy import Group
from stoker.cli.session import connect
from stoker.cli.watching import follow, follow_silently, tell_end
from stoker.client import FINAL_STATES

if TYPE_CHECKING:
    from stoker.client.day_two import NamedDifferenceDocument

_deployment = click.argument("deployment", metavar="DEPLOYMENT", shell_complete=complete.deployments)
_latest = click.argument("deployment", metavar="[DEPLOYMENT]", required=False, shell_complete=complete.deployments)
_environment = click.option(
    "--env",
    "environment",
    envvar="STOKER_ENV",
    shell_complete=complete.environments,
    help="The environment whose latest one is meant.",
)


@click.group(cls=Group)
def deployments() -> None:
    """Follow, stop, retry and look into deployments."""


@deployments.command("list")
@click.argument("environment", metavar="[ENV]", required=False, envvar="STOKER_ENV", shell_complete=complete.environments)
@output.json_option
def list_deployments(environment: str | None, as_json: bool) -> None:
    """List an environment's deployments, newest first.

    Examples:
      stoker deployments list lab
    """
    client = connect()
    found = client.deployments(choose.environment(client, environment))
    if as_json:
        output.write_items(found)
        return
    rows = []
    for item in found:
        state, created_at = output.state_text(item.get("state", "")), item.get("created_at")
        rows.append(
            (
                item["id"],
                state,
                output.when(created_at),
                output.between(created_at, item.get("finished_at")),
                item.get("plan"),
                item.get("reason"),
            )
        )
    output.table(
        ("DEPLOYMENT", "STATE", "STARTED", "TOOK", "PLAN", "REASON"),
        rows,
        empty="No deployments. Start one with 'stoker deploy'.",
    )


@deployments.command()
@_latest
@_environment
@output.json_option
def show(deployment: str | None, environment: str | None, as_json: bool) -> None:
    """Show a deployment with the state of each node; without DEPLOYMENT the latest one.

    Examples:
      stoker deployments show
      stoker deployments show 81c0de --json
    """
    client = connect()
    found = client.deployment(choose.deployment(client, deployment, environment))
    if as_json:
        output.write_json(found)
        return
    state = found.get("state", "")
    output.pairs(
        [
            ("deployment", found["id"]),
            ("environment", found.get("environment")),
            ("plan", found.get("plan")),
            ("state", output.state_text(state)),
            ("reason", found.get("reason")),
            ("retry of", found.get("retry_of")),
            ("started", output.when(found.get("created_at"))),
            ("finished", output.when(found.get("finished_at"))),
            ("tasks and checks", ", ".join(f"{count} {name}" for name, count in (found.get("counts") or {}).items())),
        ]
    )
    rows = []
    for node in found.get("nodes") or []:
        share = f"{node.get('finished', 0)}/{node.get('total', 0)}"
        rows.append((node["node"], output.state_text(node.get("state", "")), share, node.get("task"), node.get("reason")))
    output.table(("NODE", "STATE", "TASKS", "TASK", "REASON"), rows)
    if state in FINAL_STATES and state != "ready":
        tell_end(client, found)


@deployments.command()
@_latest
@_environment
@output.json_option
def watch(deployment: str | None, environment: str | None, as_json: bool) -> int:
    """Follow a deployment to its end; Ctrl-C leaves it running. With --json only the end is told.

    Examples:
      stoker deployments watch
    """
    client = connect()
    found = client.deployment(choose.deployment(client, deployment, environment))
    return follow_silently(client, found) if as_json else follow(client, found)


@deployments.command()
@_latest
@_environment
@click.option("--node", default="", shell_complete=complete.nodes, help="Only this node.")
@click.option("--task", default="", help="Only this task (plugin.id).")
@click.option("--output", "with_output", is_flag=True, help="With the last output of each.")
@output.json_option
def attempts(deployment: str | None, environment: str | None, node: str, task: str, with_output: bool, as_json: bool) -> None:
    """The history: every try of every task on every node.

    Examples:
      stoker deployments attempts --node n1
      stoker deployments attempts 81c0de --task ntp.files --output
    """
    client = connect()
    found = client.attempts(choose.deployment(client, deployment, environment), node=node, task=task)
    if as_json:
        output.write_items(found)
        return
    rows = []
    for item in found:
        started = item.get("started_at")
        note = "not simulated" if item.get("simulated") else ("" if item.get("changed", True) else "nothing to do")
        state, took = output.state_text(item.get("state", "")), output.between(started, item.get("finished_at"))
        rows.append(
            (item["node"], item["task"], item.get("attempt"), state, item.get("exit_status"), output.when(started), took, note)
        )
    output.table(("NODE", "TASK", "TRY", "STATE", "EXIT", "STARTED", "TOOK", "NOTE"), rows, empty="Nothing was tried yet.")
    for item in found if with_output else []:
        if (item.get("output") or "").strip():
            output.say(f"\n{item['node']} {item['task']}", "bold")
            output.say(item["output"].rstrip())


@deployments.command()
@_latest
@_environment
@output.json_option
def stop(deployment: str | None, environment: str | None, as_json: bool) -> None:
    """Let what runs come to its end, and start nothing more; of an environment, the deployment that runs.

    Examples:
      stoker deployments stop lab
      stoker deployments stop 81c0de
    """
    client = connect()
    chosen = choose.deployment(client, deployment, environment)
    found = client.stop_deployment(chosen)
    output.answer(found, f"deployment {chosen} stops when the tasks that run now have ended", as_json)


@deployments.command()
@_latest
@_environment
@click.option("--watch/--detach", "watching", default=True, show_default="watch", help="Follow it to its end, or return at once.")
@output.json_option
def retry(deployment: str | None, environment: str | None, watching: bool, as_json: bool) -> int:
    """Go on from what failed; of an environment, in its latest deployment.

    Examples:
      stoker deployments retry lab
      stoker deployments retry 81c0de
    """
    client = connect()
    chosen = choose.deployment(client, deployment, environment)
    started = client.retry_deployment(chosen)
    if as_json and watching:
        return follow_silently(client, started)
    output.answer(started, f"deployment {started['id']} goes on from what failed in {chosen}", as_json)
    return follow(client, started) if watching else 0


@deployments.command()
@click.argument("before", metavar="BEFORE", shell_complete=complete.deployments)
@click.argument("after", metavar="AFTER", shell_complete=complete.deployments)
@output.json_option
def diff(before: str, after: str, as_json: bool) -> int:
    """Say what changed from one deployment to another of the same environment. Exits 0 if nothing, 1 if something.

    Examples:
      stoker deployments diff 81c0de 9ab3f1
    """
    found = connect().compare_deployments(before, after)
    same = not any((found["environment"], found["files"], found["packages"], found["tasks"]))
    if as_json:
        output.write_json(found)
        return 0 if same else 1
    if found["note"]:
        output.say(found["note"], "yellow")
    show_changes(found["environment"])
    for file in found["files"]:
        details = f" ({file['note']})" if file.get("note") else ""
        mark, colour = MARKS[file["kind"]]
        output.say(f"{mark} {file['path']} on {output.names(file['nodes'])}{details}", colour)
        for line in file.get("diff", "").splitlines()[2:]:
            output.say(f"    {line}", {"+": "green", "-": "red", "@": "bright_black"}.get(line[:1], ""))
    for word in ("packages", "tasks"):
        items: list[NamedDifferenceDocument] = found["packages"] if word == "packages" else found["tasks"]
        for item in items:
            mark, colour = MARKS[item["kind"]]
            output.say(f"{mark} {word[:-1]} {item['name']} on {output.names(item['nodes'])}", colour)
    if same:
        output.say("Nothing differs.", "green")
    return 0 if same else 1


@deployments.command()
@_deployment
@click.argument("node", shell_complete=complete.nodes)
@click.argument("task")
@click.argument("answer", type=click.Choice(["done", "rerun"]))
@output.json_option
def answer(deployment: str, node: str, task: str, answer: str, as_json: bool) -> None:
    """Say whether a task whose end nobody knows is done or must run again.

    Examples:
      stoker deployments answer 81c0de n1 db.migrate done
    """
    found = connect().answer_unknown(deployment, node=node, task=task, answer=answer)
    output.answer(found, f"noted. Go on: stoker deployments retry {deployment}", as_json)
