# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The deployment that is killed again and again: real lab nodes, commands that log their own start and end."""

import contextlib
import os
import random
import signal
import tempfile
import time
from pathlib import Path

from stoker.errors import StokerError
from stoker_lab.database_server import DatabaseServer
from stoker_lab.errors import LabError
from stoker_lab.nodes import Lab, end_abandoned
from stoker_sdk import Dependency, Plugin
from stoker_sdk.extension_points import roles, tasks

from tests.acceptance.server import FINAL, Server, add_nodes, bundle
from tests.chaos import evidence

STEPS = 5
SECONDS = 0.8
NODES = 3
REBOOTS = 3
RUNNING = 10
BETWEEN = 3
PATIENCE = 180
TASK = "chaos.step{}"


def plugin(name, *, idempotent):
    """Steps that follow each other across all nodes."""
    steps = [
        tasks.Shell(
            id=f"step{number}",
            roles=["chaos"],
            run=evidence.STEP.replace("SECONDS", str(SECONDS)),
            after=[Dependency(f"step{number - 1}", role="chaos")] if number else [],
            phase=None if number else "configure",
            always=True,
            idempotent=idempotent,
        )
        for number in range(STEPS)
    ]
    return Plugin(name="chaos", version=name, title="Chaos", contributions=[roles.Role(name="chaos"), *steps])


class Chaos:
    """One run of kills and reboots."""

    def __init__(self, rounds, seed, say, *, database="sqlite", processes=1):
        self.rounds = rounds
        self.kind = database
        self.processes = processes
        self.random = random.Random(seed)
        self.say = say
        self.found = evidence.Evidence()

    def run(self):
        """Everything; gives the evidence."""
        end_abandoned()
        with tempfile.TemporaryDirectory(prefix="stoker-chaos-") as folder:
            self.lab = Lab(Path(folder) / "lab", "chaos", owner=_own_pid(), progress=self.say)
            self.database = DatabaseServer(durable=True) if self.kind == "postgresql" else None
            url = self.database.__enter__().create() if self.database else ""
            self.server = Server(Path(folder), url, self.processes)
            try:
                self.nodes = self.lab.up(NODES)
                self._prepare(Path(folder))
                self._kill_rounds()
                self._reboot_rounds()
            finally:
                self.server.stop()
                if self.database:
                    self.database.__exit__()
                self.lab.down()
        return self.found

    def _prepare(self, folder):
        self.server.start()
        with self.server.client() as client:
            for version, idempotent in (("1.0.0", False), ("2.0.0", True)):
                client.install_plugin(bundle(plugin(version, idempotent=idempotent), folder))
            add_nodes(client, self.nodes)
            client.create_environment("chaos")
            client.enable_plugin("chaos", "chaos", version="1.0.0")
            for node in self.nodes:
                client.assign_node("chaos", node.name, ["chaos"])

    def _logs(self):
        """All log lines now, read through the nodes' own file trees: no SSH, no server."""
        lines = []
        for node in self.nodes:
            path = Path(f"/proc/{self.lab.pid(node.name)}/root{evidence.LOG}")
            with contextlib.suppress(OSError):
                lines += evidence.read_lines(node.name, path.read_text(errors="replace"))
        return lines

    def _all_logs(self):
        return [
            line
            for node in self.nodes
            for line in evidence.read_lines(node.name, self.lab.run(node.name, f"cat {evidence.LOG} 2>/dev/null || true"))
        ]

    # Kills

    def _aims(self):
        running, between = self.rounds // 2, self.rounds // 4
        aims = ["running"] * running + ["between"] * between + ["any"] * (self.rounds - running - between)
        self.random.shuffle(aims)
        return aims

    def _kill_rounds(self):
        aims = self._aims()
        number = 0
        # a kill that missed its moment is made up for, so that the proof is complete
        while number < len(aims) or (len(aims) < 2 * self.rounds and self._missed(aims)):
            with self.server.client() as client:
                deployment = client.deploy("chaos")["id"]
            known = set(self._logs())
            for _ in range(self.random.randint(2, 4)):
                if number >= len(aims) or not self._kill(number, aims[number], deployment, known):
                    break
                number += 1
            self._judge([deployment], "ready")

    def _missed(self, aims):
        """Add a kill for what was aimed at and not hit often enough; whether there was such a thing."""
        if self.rounds < RUNNING + BETWEEN:
            return False
        hits = [kill.seen for kill in self.found.kills]
        for aim, needed in (("running", RUNNING), ("between", BETWEEN)):
            if hits.count(aim) < needed:
                aims.append(aim)
                return True
        return False

    def _kill(self, number, aim, deployment, before):
        """Wait for the moment, kill, look, start again; False if the deployment ended first."""
        self._kill_another(number)
        if not self._wait_for(aim, deployment, before):
            return False
        moment = self.server.kill()
        seen, attempt = self._classify(deployment, moment, before)
        self.found.kills.append(evidence.Kill(number, aim, moment, deployment, seen, attempt))
        self.say(f"kill {number + 1}: aimed at {aim}, hit {seen} {attempt}")
        self.server.start()
        return True

    def _kill_another(self, number):
        """Now and then something else dies first: an API process, or the database; whoever it is comes back by itself."""
        if self.processes > 1 and number % 2 == 0:
            began = time.monotonic()
            there = self._until(lambda: len(found := self.server.api_processes()) == self.processes and found, "API processes")
            victim = self.random.choice(sorted(there))
            os.kill(victim, signal.SIGKILL)
            self._until(lambda: len(self.server.api_processes() - {victim}) == self.processes, "a new API process")
            self._note_other("API process", began)
        if self.database and number % 5 == 1:
            began = time.monotonic()
            self.database.stop(signal.SIGQUIT)
            time.sleep(self.random.uniform(0.2, 2.0))
            self.database.start()
            self._note_other("PostgreSQL", began)

    def _note_other(self, what, began):
        with self.server.client() as client:
            self._until(lambda: self._answers(client), "answers")
        seconds = time.monotonic() - began
        self.found.others.append((what, seconds))
        self.say(f"{what} killed, back after {seconds:.1f} s")

    def _answers(self, client):
        with contextlib.suppress(StokerError):
            return client.environments() is not None
        return False

    def _until(self, true, what):
        end = time.monotonic() + PATIENCE
        while not (found := true()):
            if time.monotonic() > end:
                raise AssertionError(f"no {what} within {PATIENCE} s\n{self.server.tail()}")
            time.sleep(0.02)
        return found

    def _wait_for(self, aim, deployment, before):
        """Watch the nodes' logs until the aimed moment has come."""
        word = {"running": "start", "between": "end"}.get(aim)
        fresh = self.random.randint(1, 3)
        delay = self.random.uniform(0.05, SECONDS * 0.6) if aim == "running" else 0.0
        base = set(self._logs())
        end = time.monotonic() + (self.random.uniform(0, 2.5) if word is None else PATIENCE)
        checked = time.monotonic()
        while time.monotonic() < end:
            if word and sum(line.word == word for line in set(self._logs()) - base) >= fresh:
                time.sleep(delay)
                return True
            if time.monotonic() - checked > 1:
                checked = time.monotonic()
                with self.server.client() as client:
                    if client.deployment(deployment)["state"] in FINAL:
                        return False
            time.sleep(0.002 if aim == "between" else 0.01)
        return word is None

    def _classify(self, deployment, moment, before):
        """What was under way at the kill; the server is dead, so the database tells what it had committed."""
        with self.server.reading() as connection:
            known = evidence.committed(connection, deployment)
            key_of = evidence.names(connection, deployment).key
        lines = [line for line in self._logs() if line not in before and line.attempt.startswith(f"{deployment}.")]
        return evidence.moment_of(lines, moment, lambda attempt: key_of(attempt) in known)

    # Reboots

    def _reboot_rounds(self):
        with self.server.client() as client:
            for number in range(REBOOTS):
                idempotent = number % 2 == 1
                client.enable_plugin("chaos", "chaos", version="2.0.0" if idempotent else "1.0.0")
                known = set(self._logs())
                deployment = client.deploy("chaos")["id"]
                node = self.random.choice(self.nodes).name
                attempt = self._wait_for_start(node, self.random.randint(1, STEPS), known)
                self.lab.reboot(node, hard=self.random.random() < 0.5)
                self._after_reboot(client, deployment, node, attempt, idempotent)

    def _wait_for_start(self, node, count, known):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            starts = [line for line in self._logs() if line not in known and line.node == node and line.word == "start"]
            if len(starts) >= count:
                return starts[-1].attempt
            time.sleep(0.01)
        raise AssertionError(f"node {node} started nothing within {PATIENCE} s")

    def _after_reboot(self, client, deployment, node, attempt, idempotent):
        ended = self._finish(client, deployment)
        unknowns = [event for event in client.events(deployment) if event["kind"] == "unknown"]
        self.found.reboots.append((node, attempt, idempotent, len(unknowns), ended["state"]))
        self.say(f"reboot of {node} in {attempt}: {len(unknowns)} unknown, {ended['state']}")
        if not unknowns:
            self.found.violations.append(f"reboot of {node} in attempt {attempt}: no `unknown` was reported")
        chain = [deployment]
        if idempotent:
            if ended["state"] != "ready":
                self.found.violations.append(f"deployment {deployment} of idempotent tasks ended {ended['state']}")
        else:
            if ended["state"] != "failed" or not ended["unknowns"]:
                self.found.violations.append(
                    f"deployment {deployment} ended {ended['state']} and asks nothing: {ended['unknowns']}"
                )
                return
            for question in ended["unknowns"]:
                answer = self.random.choice(["done", "rerun"])
                client.answer_unknown(deployment, node=question["node"], task=question["task"], answer=answer)
            chain.append(client.retry_deployment(deployment)["id"])
        self._judge(list(dict.fromkeys(chain)), "ready")

    # Judgement

    def _finish(self, client, deployment):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with contextlib.suppress(StokerError):
                found = client.deployment(deployment)
                if found["state"] in FINAL:
                    return found
            time.sleep(0.1)
        raise AssertionError(f"deployment {deployment} does not end: {client.deployment(deployment)}\n{self.server.tail()}")

    def _judge(self, chain, state):
        with self.server.client() as client:
            ended = self._finish(client, chain[-1])
            if ended["state"] != state:
                self.found.violations.append(f"deployment {chain[-1]} ended {ended['state']}, not {state}: {ended['reason']}")
            history, unknowns = [], []
            for deployment in chain:
                for event in client.events(deployment):
                    key = (deployment, event.get("node", ""), event.get("task", ""), event.get("attempt", 0))
                    if event["kind"] == "finished":
                        history.append((*key, event.get("exit_status", 0) == 0))
                    elif event["kind"] == "unknown":
                        unknowns.append(key)
        try:
            lines = self._all_logs()
        except LabError as error:
            self.found.violations.append(str(error))
            return
        mine = [line for line in lines if any(line.attempt.startswith(f"{deployment}.") for deployment in chain)]
        with self.server.reading() as connection:
            key_of = evidence.names(connection, chain[0]).key
        steps = {TASK.format(number) for number in range(STEPS)}
        names = [node.name for node in self.nodes]
        self.found.violations += evidence.judge(mine, history, unknowns, steps, names, key_of)


def _own_pid():
    return int(Path("/proc/self").resolve().name)


def verdict(found, rounds, *, database="sqlite", processes=1):
    """The violations, and what was not proved."""
    broken = list(found.violations)
    hits = [kill.seen for kill in found.kills]
    if len(hits) < rounds:
        broken.append(f"only {len(hits)} of {rounds} kills")
    if rounds >= RUNNING + BETWEEN:
        if hits.count("running") < RUNNING:
            broken.append(f"only {hits.count('running')} kills while a command ran, {RUNNING} are needed")
        if hits.count("between") < BETWEEN:
            broken.append(f"only {hits.count('between')} kills between a command's end and the commit, {BETWEEN} are needed")
    others = [what for what, _ in found.others]
    if processes > 1 and others.count("API process") < rounds // 2:
        broken.append(f"only {others.count('API process')} kills of API processes")
    if database == "postgresql" and rounds > 1 and "PostgreSQL" not in others:
        broken.append("the database never went away")
    if len(found.reboots) < REBOOTS:
        broken.append(f"only {len(found.reboots)} of {REBOOTS} reboots")
    return broken
