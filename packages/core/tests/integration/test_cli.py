# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The command line: JSON, examples, errors, colours, completion, and following a deployment."""

from __future__ import annotations

import json
import os
import pty
import shutil
import socket
import subprocess
import time

import click
import pytest
from simulation import until
from stoker import __version__
from stoker.cli.main import run, stoker
from stoker.cli.session import Session
from stoker_sdk.extension_points import config_files, health_checks, settings, tasks

NAME, NODE = "shell", "shell1"
KEEN = {
    "type": "object",
    "properties": {
        "port": {"type": "integer", "title": "Port"},
        "token": {"type": "string", "title": "Token", "x-secret": {"generator": "password"}},
        "key": {"type": "string", "title": "Key", "x-secret": {"generator": "ssh_key"}},
    },
    "required": ["port"],
}


@pytest.fixture(scope="module")
def environment(simulation):
    """An environment with something of everything that can be listed."""
    simulation.environment(
        NAME,
        config_files.WholeFile(path="/etc/shell", roles=[NAME], content="first line\n"),
        config_files.ConfigFile(path="/etc/colours.ini", format="ini"),
        tasks.Shell(id="step", roles=[NAME], run="shell-step"),
        health_checks.HealthCheck(id="fine", roles=[NAME], run="shell-fine"),
    )
    simulation.client.set_override(NAME, path="/etc/colours.ini", key="colour", value="green")
    simulation.deploy(NAME)
    simulation.install("keen", settings.Settings(json_schema=KEEN))
    return NAME


@pytest.fixture
def told(simulation, capsys, monkeypatch):
    """Run a command line in this process, which is quicker; gives its exit status, standard output and standard error."""
    for name in [name for name in os.environ if name.startswith("STOKER_")]:
        monkeypatch.delenv(name)

    def tell(*words):
        status = run(words, session=Session(server=simulation.url, data=str(simulation.data)))
        return status, *capsys.readouterr()

    return tell


def commands(command=stoker, words=()):
    """Every command with its words, groups left out."""
    if not isinstance(command, click.Group):
        yield words, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        yield from commands(command.get_command(context, name), (*words, name))


OURS = [pytest.param(words, command, id=" ".join(words)) for words, command in commands() if words[0] != "lab"]
LISTINGS = {
    "plugins list": "plugins list",
    "env list": "env list",
    "nodes list": "nodes list",
    "nodes refresh": f"nodes refresh {NODE}",
    "credentials list": "credentials list",
    "plan list": f"plan list {NAME}",
    "deployments list": f"deployments list {NAME}",
    "deployments attempts": f"deployments attempts --env {NAME}",
    "env check": f"env check {NAME}",
    "env override list": f"env override list {NAME}",
    "fleet status": "fleet status",
    "tokens list": "tokens list",
    "audit list": "audit list",
}
DOCUMENTS = {
    "components list": "components list",
    "env show": f"env show {NAME}",
    "nodes show": f"nodes show {NODE}",
    "plan show": f"plan show --env {NAME}",
    "plan create": f"plan create {NAME}",
    "plan explain": f"plan explain {NAME} {NODE} /etc/shell:1",
    "deployments show": f"deployments show --env {NAME}",
    "env settings": f"env settings {NAME} {NAME}",
    "deploy": f"deploy {NAME} --yes",
}


ELSEWHERE = {
    ("actions", "list"),
    ("jobs", "list"),
    ("jobs", "show"),
    ("plugins", "quarantine", "list"),
    ("plugins", "quarantine", "show"),
    ("plugins", "show"),
    ("releases", "list"),
    ("releases", "show"),
    ("repositories", "list"),
    ("users", "list"),
}
"""What is tried where there is something to show."""


@pytest.mark.parametrize("line", LISTINGS.values(), ids=LISTINGS)
def test_a_listing_is_json_when_asked_for(told, environment, line):
    status, said, complaints = told(*line.split(), "--json")
    assert (status, complaints) == (0, "")
    found = json.loads(said)
    assert set(found) == {"items"}
    assert found["items"]
    assert all(isinstance(item, dict) and item for item in found["items"])


@pytest.mark.parametrize("line", DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_document_is_json_when_asked_for(told, environment, line):
    status, said, complaints = told(*line.split(), "--json")
    assert (status, complaints) == (0, "")
    assert isinstance(json.loads(said), dict)


@pytest.mark.parametrize(("words", "command"), OURS)
def test_help_has_examples_and_listings_have_json(words, command):
    context = click.Context(command, info_name=f"stoker {' '.join(words)}")
    text = command.get_help(context)
    examples = [line for line in text.partition("Examples:\n")[2].split("\n\n")[0].splitlines() if line.strip()]
    assert examples
    assert any(line.strip().startswith(("stoker ", "eval ")) for line in examples)
    assert any(" ".join(words) in line for line in examples)
    if words[-1] in {"list", "status", "attempts", "show"}:
        assert "--json" in text
        assert " ".join(words) in {**LISTINGS, **DOCUMENTS} or words in ELSEWHERE


SILENT = {("serve",), ("completion",), ("lab", "ssh"), ("audit", "export")}
"""Commands that answer nothing: a process that runs, code for a shell, a login, a file."""
EVERY = [pytest.param(words, command, id=" ".join(words)) for words, command in commands()]


@pytest.mark.parametrize(("words", "command"), EVERY)
def test_every_command_that_answers_does_so_in_json(words, command):
    assert any(parameter.name == "as_json" for parameter in command.params) != (words in SILENT)


CHANGES = {
    "env assign": f"env assign {NAME} {NODE} {NAME}",
    "env unassign": f"env unassign {NAME} {NODE}",
    "env create": "env create passing",
    "env enable": f"env enable passing {NAME}",
    "env disable": f"env disable passing {NAME}",
    "env delete": "env delete passing --yes",
    "credentials add": "credentials add passing",
    "credentials remove": "credentials remove passing",
    "nodes add": "nodes add passing spare1 --transport simulated",
    "nodes forget-host-key": "nodes forget-host-key passing",
    "nodes remove": "nodes remove passing",
    "deployments watch": f"deployments watch --env {NAME}",
}


def test_a_change_is_told_in_json_when_asked_for(told, environment):
    for line in [*CHANGES.values(), CHANGES["env assign"]]:
        status, said, complaints = told(*line.split(), "--json")
        assert (status, complaints) == (0, ""), line
        assert isinstance(json.loads(said), dict)


BAD = {
    "an environment that is not there": ("env show nowhere", "environment 'nowhere'", "stoker env list"),
    "a node that is not there": ("nodes show nobody", "node 'nobody'", "stoker nodes list"),
    "a plan that is not there": ("plan show nothing", "plan 'nothing'", "stoker plan list"),
    "a deployment that is not there": ("deployments show nothing", "deployment 'nothing'", "stoker deployments list"),
    "a plugin that is not installed": ("env enable shell none", "plugin none", "stoker plugins"),
    "a name that does not fit": ("env create Not/A/Name", "Not/A/Name", "letters, digits"),
    "a name that is taken": ("env create shell", "'shell'", "another name"),
    "a line that does not fit": ("plan explain shell shell1 /etc/shell", "'/etc/shell'", "FILE:LINE"),
    "nobody to ask": ("deploy shell", "deploy shell", "--yes"),
    "nobody to ask about deleting": ("env delete shell", "env delete shell", "--yes"),
    "two equals signs": ("env enable shell shell==1.0.0", "one '='", "shell=1.0.0"),
    "settings of what is not installed": ("env settings shell none", "plugin none", "stoker plugins install"),
    "settings of what is not enabled": ("env settings shell keen", "plugin keen", "stoker env enable shell keen"),
    "a secret for all to see": ("env enable shell keen --set token=x", "token is a secret", "--secret-file token=FILE"),
    "a bundle that is not there": ("plugins install no-such.stoker", "no-such.stoker", "stoker-plugin build"),
    "an option that is not there": ("nodes list --colour", "--colour", "stoker nodes list --help"),
    "a command that is not there": ("nodes paint", "'paint'", "stoker nodes --help"),
    "a port that does not fit": ("nodes add n 10.0.0.1 --port 70000", "70000", "stoker nodes add --help"),
    "a port in the address": ("nodes add n 10.0.0.1:2222", "10.0.0.1:2222", "--port"),
    "a name that means a folder": ("env show ..", "'..' is not a name", "listing"),
    "a missing word": ("env assign shell shell1", "ROLE", "stoker env assign --help"),
    "a role that nobody brings": ("env assign shell shell1 king", "king", "shell"),
    "a jump host that is not there": ("nodes add n 10.0.0.1 --jump nobody", "'nobody'", "stoker nodes list"),
    "an open question that is not there": ("deployments answer x shell1 shell.step done", "'x'", "stoker deployments list"),
}


@pytest.mark.parametrize(("line", "who", "remedy"), BAD.values(), ids=BAD)
def test_bad_input_exits_2_with_who_what_and_remedy(told, environment, line, who, remedy):
    status, written, said = told(*line.split())
    assert (status, written) == (2, "")
    first, _, rest = said.partition("remedy: ")
    assert first.startswith("error: ")
    assert who in first
    assert remedy in rest
    assert "Traceback" not in said


@pytest.mark.parametrize("line", [line for line, _, _ in BAD.values() if " --" not in line])
def test_an_error_is_json_when_asked_for(told, environment, line):
    status, written, said = told(*line.split(), "--json")
    assert status == 2
    problem = json.loads(written)
    assert problem["type"].startswith("urn:stoker:problem:")
    assert problem["detail"]
    assert problem["remedy"] in said


@pytest.mark.parametrize(
    "words", [("env", "show", ""), ("nodes", "remove", " "), ("deployments", "stop", "a/b"), ("env", "create", "\udcff")]
)
def test_what_is_no_name_or_no_text_is_told_as_such(told, environment, words):
    status, written, said = told(*words)
    assert (status, written) == (2, "")
    assert said.startswith("error: ")
    assert "remedy: " in said


def test_no_server_and_a_wrong_token_are_told(simulation, environment):
    assert "stoker serve" in simulation.cli("--server", "http://127.0.0.1:9", "env", "list", status=1)
    assert "token" in simulation.cli("--token", "wrong", "env", "list", status=2)


def test_a_refused_bundle_is_named(told, environment, tmp_path):
    file = tmp_path / "broken.stoker"
    file.write_bytes(b"no bundle")
    status, _, said = told("plugins", "install", str(file))
    assert status == 2
    assert said.startswith(f"error: {file}: ")


def test_settings_are_a_table_and_missing_ones_are_told_with_the_command(told, environment):
    assert told("env", "create", "settled")[0] == 0
    status, said, _ = told("env", "enable", "settled", "keen")
    assert status == 0
    assert "stoker env settings settled keen --set port=VALUE" in said
    status, _, said = told("plan", "create", "settled")
    assert status == 2
    assert said.count("--set port=VALUE") == said.count("is required") == 1
    status, said, _ = told("env", "settings", "settled", "keen", "--set", "port=7")
    assert status == 0
    lines = [line.split() for line in said.splitlines()]
    assert ["port", "7", "set", "integer", "Port"] in lines
    assert ["token", "(secret,", "version", "1)", "stored", "secret", "text", "Token"] in lines
    assert any(line[:1] == ["key.public_key"] and "public" in line for line in lines)
    status, said, _ = told("env", "settings", "settled", "keen", "--set", "token=")
    assert "(secret, version 2)" in said
    status, _, said = told("env", "settings", "settled", "keen", "--settings", "/nope")
    assert (status, "/nope" in said) == (2, True)


def test_the_version_is_one_line(told):
    assert told("--version")[:2] == (0, f"stoker {__version__}\n")


def at_a_terminal(simulation, *words):
    """What a command writes to a terminal."""
    ours, theirs = pty.openpty()
    surroundings = simulation.surroundings(TERM="xterm-256color", COLUMNS="120")
    surroundings.pop("NO_COLOR", None)
    with subprocess.Popen(simulation.command(*words), stdin=theirs, stdout=theirs, stderr=theirs, env=surroundings) as process:
        os.close(theirs)
        said = b""
        try:
            while chunk := os.read(ours, 65536):
                said += chunk
        except OSError:
            pass  # the other side is closed: that is the end
        os.close(ours)
        assert process.wait(60) == 0
    return said.decode()


def test_colours_are_for_terminals_alone(simulation, environment):
    line = ("deployments", "list", NAME)
    assert "\x1b[" in at_a_terminal(simulation, *line)
    for words in (line, ("plan", "create", NAME, "--all"), ("nodes", "list"), ("env", "check", NAME)):
        said = simulation.cli(*words, FORCE_COLOR="", TERM="xterm-256color")
        assert said.strip()
        assert "\x1b" not in said
    assert "\x1b" not in simulation.cli("nodes", "show", "nobody", status=2)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_names_environments(simulation, environment, shell):
    script = simulation.cli("completion", shell)
    assert f"_STOKER_COMPLETE={shell}_complete" in script
    words, last = "stoker env show she", "she"
    asked = {"_STOKER_COMPLETE": f"{shell}_complete", "COMP_WORDS": words, "COMP_CWORD": "3"}
    if shell == "fish":
        asked["COMP_CWORD"] = last
    tries = (simulation.cli(status=0, **asked) for _ in range(10))
    said = next(said for said in tries if said)  # a busy server may not answer at once
    assert NAME in said.replace(",", "\n").splitlines()
    assert "spare" not in said


def completed(simulation, line, **more):
    """What bash is offered for the last word of a line."""
    words = line.split(" ")
    asked = {"_STOKER_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        simulation.command(),
        capture_output=True,
        text=True,
        env=simulation.surroundings(**asked, **more),
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    return {word.partition(",")[2] for word in done.stdout.split()}


def completes(simulation, line, wanted, *, among_others=False):
    """Whether the last word is completed like that: completion gives up where a busy server does not answer at once."""
    tries = (completed(simulation, line) for _ in range(10))
    return any(wanted <= found if among_others else wanted == found for found in tries)


def test_completion_knows_roles_nodes_files_and_settings(simulation, environment):
    assert completes(simulation, f"stoker env assign {NAME} {NODE} ", {NAME})
    assert completes(simulation, "stoker plan explain ", {NAME, NODE}, among_others=True)
    assert completes(simulation, f"stoker plan explain {NAME} {NODE} /etc/she", {"/etc/shell:"})
    assert completes(simulation, f"stoker env enable {NAME} keen --set ", {"port=", "token=", "key="})
    assert completes(simulation, f"stoker env enable {NAME} keen --secret t", {"token"})
    assert completes(simulation, "stoker plugins default keen ", {"1.0.0"})
    assert completes(simulation, f"stoker env plugin upgrade {NAME} keen 1", {"1.0.0"})


def test_completion_is_silent_and_quick_without_a_server(simulation, environment):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        for server in ("foo", "http://127.0.0.1:9", f"http://127.0.0.1:{deaf.getsockname()[1]}"):
            began = time.monotonic()
            assert completed(simulation, f"stoker env assign {NAME} {NODE} ", STOKER_SERVER=server) == set()
            assert time.monotonic() - began < 3  # half a second to wait; the rest is Python's start on a busy machine


def test_bash_itself_completes(simulation, environment, tmp_path):
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not on this machine")
    program = tmp_path / "stoker"
    program.write_text(f'#!/bin/sh\nexec {" ".join(simulation.command())} "$@"\n')
    program.chmod(0o755)
    script = (
        'eval "$(stoker completion bash)"; COMP_WORDS=(stoker env show she); COMP_CWORD=3;'
        'function_name=$(complete -p stoker | sed "s/.*-F \\([^ ]*\\).*/\\1/"); "$function_name" stoker; echo "${COMPREPLY[@]}"'
    )
    surroundings = simulation.surroundings(PATH=f"{tmp_path}:{os.environ['PATH']}")
    done = subprocess.run([bash, "-c", script], capture_output=True, text=True, env=surroundings, timeout=60, check=True)
    assert done.stdout.split() == [NAME]


def test_deploy_watch_follows_to_the_end_and_tells_it(simulation):
    name = "watched"
    simulation.environment(
        name,
        tasks.Shell(id="first", roles=[name], run="watched-first"),
        tasks.Shell(id="second", roles=[name], run="watched-second", after=["first"]),
    )
    simulation.behave({"match": "watched-second", "exit_status": 7, "output": "out of paint\n"})
    said = simulation.cli("deploy", name, "--yes", "--watch", status=1)
    order = ["Plan: 2 tasks", "deployment: running", "watched1: watched.first done", "watched1: watched.second started"]
    order += ["deployment: failed", "exit status 7", "$ watched-second", "out of paint", "stoker deployments retry"]
    places = [said.rindex(word) for word in order]
    assert places == sorted(places), said
    (deployment,) = simulation.client.deployments(name)
    assert deployment["id"] in said
    simulation.behave()
    said = simulation.cli("deployments", "retry", deployment["id"], "--watch")
    assert "watched1: watched.second started" in said
    assert "watched1: watched.second done" in said
    assert "ready: 2 tasks done" in said
    assert "Nothing to do" in simulation.cli("deploy", name, "--yes", "--watch")


def test_deploy_detach_returns_while_it_runs(simulation):
    name = "detached"
    simulation.environment(name, tasks.Shell(id="step", roles=[name], run="detached-step"))
    simulation.behave({"match": "detached-step", "delay": 3})
    said = simulation.cli("deploy", name, "--yes", "--detach")
    (deployment,) = simulation.client.deployments(name)
    assert deployment["state"] in {"pending", "running"}
    assert f"stoker deployments watch {deployment['id']}" in said
    assert "detached.step done" in simulation.cli("deployments", "watch", deployment["id"])
    until(lambda: simulation.client.deployment(deployment["id"])["state"] == "ready", "its end")
