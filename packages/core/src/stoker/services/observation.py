# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Looking at an environment's nodes: many at once, over connections that are held until everything is seen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

from stoker.db.vault import SecretName, Vault
from stoker.domain.node import Facts, NodeTarget, Observation, ObservedFile, Watch
from stoker.domain.secret import SecretSlot, quoted
from stoker.domain.snapshot import Applied
from stoker.errors import NodeError
from stoker.services import plan_progress
from stoker.services.context import ServerContext
from stoker.transport import NodeLink

AT_ONCE = 64
CONNECT_SECONDS = 20.0
LOOK_SECONDS = 60.0
FACTS_AGE_SECONDS = 3600.0

T = TypeVar("T")


class Seen(msgspec.Struct, kw_only=True):
    """What became of looking at one node."""

    facts: Facts | None = None
    """Facts that were read anew; ``None`` if the stored ones are young enough."""
    host_key: str = ""
    observed: Observation = Observation()
    failure: NodeError | None = None


class Watchers:
    """Connections to many nodes, opened together and closed together."""

    def __init__(self, context: ServerContext, targets: Sequence[NodeTarget]) -> None:
        """Take the nodes in their order; nothing is connected yet."""
        self._context = context
        self._targets = targets
        self._links: dict[str, NodeLink] = {}
        self.seen: dict[str, Seen] = {target.id: Seen() for target in targets}

    async def connect(self, facts: Mapping[str, tuple[Facts, float | None]]) -> None:
        """Connect to all nodes, and read the facts of those whose stored ones are old or of another boot."""

        async def one(target: NodeTarget) -> None:
            link = await self._context.transports[target.transport].connect(target, CONNECT_SECONDS)
            self._links[target.id] = link
            seen = self.seen[target.id]
            seen.host_key = link.identity.host_key
            known, at = facts.get(target.id, (Facts(), None))
            if at is None or time.time() - at > FACTS_AGE_SECONDS or known.boot_id != link.identity.boot_id:
                seen.facts = await asyncio.wait_for(link.facts(), LOOK_SECONDS)

        if (progress := plan_progress.present()) is not None:
            await asyncio.to_thread(progress.begin, "looking", len(self._targets))
        await self._all(one)

    async def observe(self, watches: Mapping[str, Watch]) -> None:
        """Look at what planning wants to know of each node."""

        async def one(target: NodeTarget) -> None:
            link = self._links.get(target.id)
            if link is not None:
                watch = watches.get(target.id, Watch())
                self.seen[target.id].observed = await asyncio.wait_for(link.observe(watch), LOOK_SECONDS)
            if progress is not None:
                progress.step()

        progress = plan_progress.present()
        await self._all(one)

    async def close(self) -> None:
        """Close all connections."""
        await asyncio.gather(*(link.close() for link in self._links.values()), return_exceptions=True)
        self._links = {}

    async def _all(self, work: Callable[[NodeTarget], Awaitable[None]]) -> None:
        gate = asyncio.Semaphore(AT_ONCE)

        async def guarded(target: NodeTarget) -> None:
            async with gate:
                try:
                    await work(target)
                except NodeError as error:
                    self.seen[target.id].failure = error
                except TimeoutError as error:
                    failure = NodeError(target.name, "it did not answer in time.", remedy="Look what keeps it busy.")
                    failure.__cause__ = error
                    self.seen[target.id].failure = failure

        await asyncio.gather(*(guarded(target) for target in self._targets))


def without_secrets(
    found: Observation, applied: Applied, secrets: Mapping[SecretName, str], vault: Vault
) -> tuple[Observation, dict[str, str]]:
    """Take secrets out of the content of files that hold some.

    Args:
        found: as the node answered.
        applied: what Stoker wrote there; a file with a keyed hash was written with secrets.
        secrets: those of the environment: a file that holds one is one that holds secrets, whoever wrote it.
        vault: makes the keyed hashes.

    Returns:
        The observation without plain hashes of these files, and path -> keyed hash of their bytes. A file that is as Stoker wrote
        it keeps its content with each secret's name in its place. One that somebody changed loses its content: what was
        written there by hand may be a secret that nobody told us.
    """
    names = _names_of_secrets(secrets)
    files: dict[str, ObservedFile] = {}
    hashes: dict[str, str] = {}
    for path, file in found.files.items():
        written = applied.files[path].keyed_hash if path in applied.files else ""
        holds = file.content is not None and any(value in file.content for value, _ in names)
        if file.kind != "file" or not (written or holds):
            files[path] = file
            continue
        content = None
        if file.content is not None:
            hashes[path] = vault.keyed_hash(file.content.encode())
            content = _with_names(file.content, names) if hashes[path] == written else None
        files[path] = msgspec.structs.replace(file, content=content, sha256="")
    return msgspec.structs.replace(found, files=files), hashes


def _names_of_secrets(secrets: Mapping[SecretName, str]) -> list[tuple[str, str]]:
    """Values with the names that stand for them; longer ones first, so that none is found inside another."""
    given = [(value, str(SecretSlot(*name))) for name, value in secrets.items() if value.strip()]
    found = {(form, name) for value, name in given for form in (value, quoted(value))}
    return sorted(found, key=lambda item: (-len(item[0]), item[1]))


def _with_names(content: str, names: Sequence[tuple[str, str]]) -> str:
    for value, name in names:
        content = content.replace(value, name)
    return content
