# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The fleet: a process of its own that models nodes, so that their spools survive a killed server."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Final, cast

import msgspec

from stoker.domain.action import (
    Action,
    CommandAction,
    FilesAction,
    KindAction,
    PackagesAction,
    RebootAction,
    ServiceAction,
    WaitForAction,
)
from stoker.domain.attempt import Outcome, SpoolEntry
from stoker.domain.node import NodeIdentity, ObservedService, Watch
from stoker.transport.simulated.behaviour import Behaviour, Rule
from stoker.transport.simulated.messages import ENCODER, Answer, Frames, Request, frame
from stoker.transport.simulated.model import ModelledFile, ModelledNode, SpoolRow, is_pretended

_REQUEST: Final = msgspec.msgpack.Decoder(Request)
_TIMED_OUT: Final = 124
_LOOK: Final = 0.05
"""Seconds between two looks for an awaited file."""


class Change(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a hand does to a modelled node, for tests and demos."""

    write: dict[str, str] = {}
    delete: list[str] = []
    remove_packages: list[str] = []
    install_packages: dict[str, str] = {}
    stop_services: list[str] = []
    lose_spool: bool = False


class FleetError(Exception):
    """A refusal with its word, sent to the other side."""

    def __init__(self, word: str, detail: str) -> None:
        """Keep both."""
        self.word = word
        self.detail = detail
        super().__init__(detail)


def command_text(action: Action) -> str:
    """What rules are matched against."""
    match action:
        case CommandAction():
            return action.run or f"{action.script} {' '.join(action.arguments)}"
        case KindAction():
            words = "".join(str(piece) for piece in action.parameters)  # secrets by their names
            return f"kind {action.kind} {words}{' --dry-run' if action.dry_run else ''}"
        case PackagesAction():
            return "packages " + " ".join([*(item.name for item in action.install), *action.remove])
        case ServiceAction():
            return f"service {action.name}"
        case FilesAction():
            return " ".join(f"file {item.path}" for item in action.files)
        case RebootAction():
            return "reboot"
        case _:
            return "wait_for"


class Fleet:
    """All modelled nodes and what they do."""

    def __init__(self, behaviour: Behaviour | None = None) -> None:
        """Start with no nodes."""
        self.nodes: dict[str, ModelledNode] = {}
        self.behaviour = behaviour or Behaviour()
        self._running: set[asyncio.Task[None]] = set()

    def add(self, count: int, prefix: str = "node") -> list[str]:
        """Add nodes ``PREFIX1`` to ``PREFIXcount`` that are not there yet."""
        names = [f"{prefix}{number}" for number in range(1, count + 1)]
        for name in names:
            if name not in self.nodes:
                self.nodes[name] = ModelledNode(name, len(self.nodes) + 1)
        return names

    def node(self, name: str) -> ModelledNode:
        """A node that can be reached. Raises FleetError otherwise."""
        fault = self.behaviour.fault(name)
        if name not in self.nodes or fault.unreachable:
            raise FleetError("unreachable", "nobody answers")
        if fault.authentication_refused:
            raise FleetError("authentication", "the node refuses the key")
        return self.nodes[name]

    def answer(self, request: Request) -> object:
        """Answer everything but ``execute`` and ``attach``, which may take time."""
        match request.operation:
            case "add":
                count, prefix = msgspec.msgpack.decode(request.data, type=tuple[int, str])
                return self.add(count, prefix)
            case "behave":
                self.behaviour = msgspec.msgpack.decode(request.data, type=Behaviour)
                return None
            case "status":
                return [
                    {"name": node.name, "address": node.address(), "attempts": len(node.starts)} for node in self.nodes.values()
                ]
            case "starts":
                return {node.name: node.starts for node in self.nodes.values()}
            case "pretended":
                actions = msgspec.msgpack.decode(request.data, type=list[Action])
                return [self._pretended(request.node, action) for action in actions]
            case "reboot":
                self.nodes[request.node].reboot()
                return None
            case "change":
                return self._change(self.nodes[request.node], msgspec.msgpack.decode(request.data, type=Change))
            case _:
                return self._of_node(self.node(request.node), request)

    def _of_node(self, node: ModelledNode, request: Request) -> object:
        match request.operation:
            case "connect":
                return NodeIdentity(boot_id=node.boot_id, spool_id=node.spool_id, host_key=f"simulated {node.name}")
            case "facts":
                return node.facts()
            case "observe":
                return node.observe(msgspec.msgpack.decode(request.data, type=Watch))
            case "look":
                return _look(node, request.attempt)
            case "offer":
                node.offer(msgspec.msgpack.decode(request.data, type=str))
                return None
            case "forget":
                for attempt in msgspec.msgpack.decode(request.data, type=list[str]):
                    row = node.spool.get(attempt)
                    if row is not None and row.outcome is not None:
                        del node.spool[attempt]
                return None
            case _:
                raise FleetError("unknown", f"there is no operation {request.operation}")

    def _pretended(self, name: str, action: Action) -> bool:
        return is_pretended(action) and self.behaviour.find(name, command_text(action)) is None

    @staticmethod
    def _change(node: ModelledNode, change: Change) -> None:
        for path, text in change.write.items():
            file = node.files.setdefault(path, ModelledFile(b""))
            file.content = text.encode()
        for path in change.delete:
            node.files.pop(path, None)
        for name in change.remove_packages:
            node.packages.pop(name, None)
        node.packages.update(change.install_packages)
        for name in change.stop_services:
            node.services[name] = ObservedService(active=False, enabled=node.services[name].enabled)
        if change.lose_spool:
            node.spool_id = os.urandom(8).hex()
            for row in node.spool.values():
                if row.done is not None:
                    row.done.set()  # whoever waits for its end loses the connection
            node.spool.clear()

    def start(self, request: Request) -> tuple[SpoolRow, Rule | None]:
        """Claim an attempt and start it. Raises FleetError if it was claimed before or the disk is full."""
        node = self.node(request.node)
        if request.attempt in node.spool:
            raise FleetError("exists", f"attempt {request.attempt} was claimed before")
        if self.behaviour.fault(node.name).full_disk:
            raise FleetError("full-disk", "the attempt cannot be claimed: No space left on device")
        assert request.action is not None
        row = SpoolRow(node.boot_id, rebooting=isinstance(request.action, RebootAction))
        node.spool[request.attempt] = row
        now = time.time()
        node.starts.append((request.attempt, now))
        if self._spared(node, request.action):
            row.outcome = Outcome(exit_status=0, changed=False, started_at=now, finished_at=now)
            return row, None
        rule = self.behaviour.rule(node.name, command_text(request.action)) if self.behaviour.rules else None
        if not _waits(node, request.action) and (rule is None or not (rule.delay or rule.hang)):
            _finish(node, row, request, rule, now)
        else:
            row.done = asyncio.Event()
            task = asyncio.create_task(_run_slowly(node, row, request, rule, now))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return row, rule

    def _spared(self, node: ModelledNode, action: Action) -> bool:
        """Whether a guard says that there is nothing to do; ``unless`` is false if the table does not know ``unless TEXT``."""
        if node.spared(action):
            return True
        unless = action.unless if isinstance(action, CommandAction | RebootAction | KindAction) else ""
        return bool(unless) and self.behaviour.guard(node.name, f"unless {unless}")


def _waits(node: ModelledNode, action: Action | None) -> bool:
    return isinstance(action, WaitForAction) and bool(action.file) and action.file not in node.files


def _look(node: ModelledNode, attempt: str) -> SpoolEntry:
    row = node.spool.get(attempt)
    if row is None:
        return SpoolEntry(state="missing")
    if row.outcome is not None:
        return SpoolEntry(state="finished", boot_id=row.boot_id)
    return SpoolEntry(state="running" if row.boot_id == node.boot_id else "claimed", boot_id=row.boot_id)


def _finish(node: ModelledNode, row: SpoolRow, request: Request, rule: Rule | None, started: float) -> None:
    assert request.action is not None
    now = time.time()
    if rule is not None and rule.exit_status != 0:
        row.outcome = Outcome(exit_status=rule.exit_status, output=rule.output, started_at=started, finished_at=now)
    else:
        applied = node.apply(request.action, request.contents)
        row.outcome = Outcome(
            exit_status=applied.exit_status,
            output=rule.output if rule is not None else applied.output,
            started_at=started,
            finished_at=now,
            simulated=applied.pretended and rule is None,
        )
    if row.done is not None:
        row.done.set()


async def _run_slowly(node: ModelledNode, row: SpoolRow, request: Request, rule: Rule | None, started: float) -> None:
    boot = node.boot_id
    deadline = started + request.timeout
    end = deadline if rule is not None and rule.hang else started + (rule.delay if rule is not None else 0.0)
    await asyncio.sleep(min(end, deadline) - started)
    while _waits(node, request.action) and time.time() < deadline:  # noqa: ASYNC110  it looks again and again, as a real node does
        await asyncio.sleep(_LOOK)
    if node.boot_id != boot:
        return  # the node rebooted meanwhile; what ran is gone
    if end >= deadline or _waits(node, request.action):
        output = rule.output if rule is not None else ""
        row.outcome = Outcome(exit_status=_TIMED_OUT, output=output, started_at=started, finished_at=time.time())
        if row.done is not None:
            row.done.set()
    else:
        _finish(node, row, request, rule, started)


class Connection(asyncio.Protocol):
    """One connection of a server to the fleet."""

    def __init__(self, fleet: Fleet) -> None:
        """Serve this fleet."""
        self._fleet = fleet
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None
        self._out: list[bytes] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast("asyncio.Transport", transport)  # another event loop's transport is not a subclass

    def data_received(self, data: bytes) -> None:
        """Answer every whole request; answers leave together."""
        for body in self._frames.feed(data):
            self._handle(_REQUEST.decode(body))
        if self._out and self._transport is not None:
            self._transport.write(b"".join(self._out))
            self._out.clear()

    def _handle(self, request: Request) -> None:
        try:
            if request.operation == "execute":
                row, rule = self._fleet.start(request)
                if rule is not None and rule.drop:
                    raise FleetError("dropped", "the connection was lost in the middle of the attempt")
                if row.outcome is None:
                    self._later(request, row, 0.0)
                    return
                result: object = row.outcome
            elif request.operation == "attach":
                node = self._fleet.node(request.node)
                found = node.spool.get(request.attempt)
                if found is None or (found.outcome is None and found.boot_id != node.boot_id):
                    raise FleetError("not-running", f"attempt {request.attempt} neither runs nor ended")
                if found.outcome is None:
                    self._later(request, found, request.timeout)
                    return
                result = found.outcome
            else:
                result = self._fleet.answer(request)
        except FleetError as error:
            self._out.append(frame(Answer(request.number, error=error.word, detail=error.detail)))
        else:
            self._out.append(frame(Answer(request.number, msgspec.Raw(ENCODER.encode(result)))))

    def _later(self, request: Request, row: SpoolRow, timeout: float) -> None:
        task = asyncio.create_task(self._answer_later(request, row, timeout))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer_later(self, request: Request, row: SpoolRow, timeout: float) -> None:
        assert row.done is not None
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(row.done.wait(), timeout or None)
        if row.outcome is None:
            answer = Answer(request.number, error="dropped", detail="the node went away in the middle of the attempt")
        else:
            answer = Answer(request.number, msgspec.Raw(ENCODER.encode(row.outcome)))
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame(answer))


async def serve(socket: Path, fleet: Fleet) -> None:
    """Serve a fleet until SIGTERM or SIGINT; only its owner may connect."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    socket.unlink(missing_ok=True)  # noqa: ASYNC240  once, before anything runs
    old = os.umask(0o177)
    try:
        server = await loop.create_unix_server(lambda: Connection(fleet), str(socket))
    finally:
        os.umask(old)
    async with server:
        await stop.wait()
    socket.unlink(missing_ok=True)  # noqa: ASYNC240  once, after everything


def main(arguments: list[str] | None = None) -> None:
    """Run a fleet: ``python -m stoker.transport.simulated.fleet --socket PATH [--nodes N] [--behaviour FILE]``."""
    parser = argparse.ArgumentParser(prog="stoker-fleet", description="Modelled nodes for trying Stoker without machines.")
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--nodes", type=int, default=0)
    parser.add_argument("--prefix", default="node")
    parser.add_argument("--behaviour", type=Path, help="JSON table of what commands answer")
    options = parser.parse_args(arguments)
    behaviour = msgspec.json.decode(options.behaviour.read_bytes(), type=Behaviour) if options.behaviour else None
    fleet = Fleet(behaviour)
    fleet.add(options.nodes, options.prefix)
    options.socket.parent.mkdir(parents=True, exist_ok=True)
    asyncio.run(serve(options.socket, fleet))


if __name__ == "__main__":
    main()
