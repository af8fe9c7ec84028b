# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Copies of collections in a new version of the schema: batches through the plugin's functions, and late writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Row
from stoker_sdk.context.values import Environment
from stoker_sdk.extension_points.records import Migration
from stoker_sdk.worker.migrating import BATCH

from stoker.db import record_generations as generations
from stoker.db import records as rows
from stoker.db.records import Place
from stoker.errors import ConflictError, HookFailedError
from stoker.plugin_host.dispatch import BACKGROUND_CALLER, Dispatcher, Hook
from stoker.services.context import ServerContext
from stoker.services.records import Declared, fault_in
from stoker.services.upgrade_progress import RecordProgress

DEADLINE: Final = 60.0
"""Seconds for one batch."""
MOST_BATCH: Final = 500
MOST_BYTES: Final = 4 * 1024 * 1024
"""Documents and bytes of one batch."""
MOST_FAILURES: Final = 100
"""So many failures are told by a dry run."""
_SCHEMA: Final = "schema"


class FailureView(msgspec.Struct, frozen=True, kw_only=True):
    """A document that cannot be migrated."""

    key: str
    step: str
    """The version of the schema whose step fails; ``schema``: what comes out does not fit the new one."""
    reason: str
    """Without anything that the document contains."""


class RecordMigrationError(ConflictError):
    """A collection cannot be migrated; nothing was changed."""

    kind = "record-migration"


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What a collection is copied into."""

    plugin: str
    version: str
    """The plugin's, whose functions are called."""
    environment: Environment | None
    settings: Mapping[str, object]
    declared: Declared
    steps: Sequence[Migration]
    """In order."""

    @property
    def label(self) -> str:
        """As messages name it."""
        where = f" in environment {self.environment.name}" if self.environment is not None else ""
        return f"plugin {self.plugin}, records {self.declared.collection.name}{where}"


class _Answer(msgspec.Struct, frozen=True):
    documents: dict[str, msgspec.Raw] = {}
    failures: dict[str, str] = {}


Batch = dict[str, tuple[str | None, int]]
"""Key -> JSON text (``None``: dropped), and the revision that it was made of."""


class Copying:
    """The copy of one collection, while it is written; plugin code is called outside of any transaction."""

    def __init__(self, context: ServerContext, place: Place, target: Target) -> None:
        """Take what is copied; nothing is done yet."""
        self.place, self.target = place, target
        self._context = context
        self._marker = 0
        self._progress = RecordProgress(context.database, place)
        self.generation = 0
        self.documents = self.dropped = self.late = 0

    def begin(self) -> None:
        """Begin an empty copy, after what an earlier one may have left is gone."""
        with self._context.database.transaction() as connection:
            generations.forget_shadow(connection, self.place)
        generations.sweep(self._context.database, self.place)
        with self._context.database.transaction() as connection:
            row = self._row(connection)
            self.generation = max(row.generation, row.kept_generation or 0) + 1
            generations.begin_shadow(connection, self.place, self.generation)

    def advance(self) -> int:
        """Copy everything that was written since the last time; how many records that were.

        Raises:
            RecordMigrationError: a document cannot be migrated, or the plugin's code gave nothing.
        """
        with self._context.database.read() as connection:
            row = self._row(connection)
        since, first = self._marker, self._marker == 0
        self._marker, after, number = row.counter, "", 0
        while found := self._read(row.generation, since, after):
            after, number = found[-1].key, number + len(found)
            batch, failures = self._migrate(found)
            if failures:
                raise self._failed(failures)
            with self._context.database.transaction() as connection:
                present = self._row(connection, lock=True)
                generations.write_shadow(connection, self.place, present, batch, self.target.declared.collection.key_of)
            self.documents += len(batch)
            self._progress.tell(self.documents, row.documents)
            self.dropped += sum(text is None for text, _ in batch.values())
        if not first:
            self.late += number
        return number

    def go_live(self, connection: Any) -> tuple[Row[Any], int]:  # noqa: ANN401  a connection
        """Let the copy be the live generation; what the row was, and how many records there are."""
        row = self._row(connection, lock=True)
        if row.counter != self._marker:
            raise self._gone()
        return row, generations.go_live(connection, self.place, row, self.target.declared.collection.version)

    def drop(self) -> None:
        """Forget the copy, unless it went live; rows of it are swept."""
        with self._context.database.transaction() as connection:
            generations.forget_shadow(connection, self.place, self.generation)

    def look(self, most: int | None) -> tuple[int, int, list[FailureView]]:
        """Migrate without writing: how many documents, how many of them dropped, and those that fail.

        Args:
            most: look at so many documents; ``None`` for all.
        """
        with self._context.database.read() as connection:
            row = rows.find_collection(connection, self.place)
        after, number, dropped = "", 0, 0
        told: list[FailureView] = []
        while row is not None and (most is None or number < most) and len(told) < MOST_FAILURES:
            found = self._read(row.generation, 0, after)
            found = found if most is None else found[: most - number]
            if not found:
                break
            after, number = found[-1].key, number + len(found)
            try:
                batch, failures = self._migrate(found)
            except RecordMigrationError as error:
                told.append(FailureView(key=found[0].key, step=str(error.data.get("step", "")), reason=error.detail))
                break
            told += failures
            dropped += sum(text is None for text, _ in batch.values())
        return number, dropped, told[:MOST_FAILURES]

    def _read(self, generation: int, since: int, after: str) -> list[Row[Any]]:
        most = min([MOST_BATCH, *(max(1, step.batch) for step in self.target.steps)])
        with self._context.database.read() as connection:
            found = generations.changed_since(connection, self.place, generation, since, after, most)
        size = 0
        taken: list[Row[Any]] = []
        for row in found:
            size += len(row.value)
            if taken and size > MOST_BYTES:
                break
            taken.append(row)
        return taken

    def _migrate(self, found: Sequence[Row[Any]]) -> tuple[Batch, list[FailureView]]:
        revisions = {row.key: row.revision for row in found}
        documents = {row.key: msgspec.Raw(row.value.encode()) for row in found}
        batch: Batch = {}
        failures: list[FailureView] = []
        for step in self.target.steps:
            if not documents:
                break
            answer = self._call(step, documents)
            failures += [
                FailureView(key=key, step=str(step.version), reason=reason) for key, reason in sorted(answer.failures.items())
            ]
            batch.update((key, (None, revisions[key])) for key, value in answer.documents.items() if bytes(value) == b"null")
            documents = {key: value for key, value in answer.documents.items() if bytes(value) != b"null"}
        for key, value in sorted(documents.items()):
            data = bytes(value)
            if fault := fault_in(self.target.declared, data):
                failures.append(FailureView(key=key, step=_SCHEMA, reason=fault))
            batch[key] = (data.decode(), revisions[key])
        return batch, failures

    def _call(self, step: Migration, documents: Mapping[str, msgspec.Raw]) -> _Answer:
        target = self.target
        hook = Hook(
            plugin=target.plugin,
            version=target.version,
            point="records",
            name=target.declared.collection.name,
            function=BATCH,
            deadline=DEADLINE,
        )
        given = {"documents": msgspec.json.encode(documents), "function": msgspec.json.encode(step.call)}
        call = self._dispatcher().call(
            hook, given, environment=target.environment, caller=BACKGROUND_CALLER, settings=target.settings
        )
        try:
            answer = msgspec.json.decode(self._context.wait(call), type=_Answer)
        except HookFailedError as error:
            raise self._broken(step, documents, error.detail) from error
        except msgspec.MsgspecError as error:
            raise self._broken(step, documents, "it gave what is no batch") from error
        if (answer.documents.keys() | answer.failures.keys()) != documents.keys():
            raise self._broken(step, documents, "it gave other keys than it got")
        return answer

    def _dispatcher(self) -> Dispatcher:
        if self._context.dispatcher is None:
            raise RecordMigrationError(f"{self.target.label}: this process runs no plugin's code.", remedy="Ask the server.")
        return self._context.dispatcher

    def _row(self, connection: Any, *, lock: bool = False) -> Row[Any]:  # noqa: ANN401  a connection
        row = rows.find_collection(connection, self.place, lock=lock)
        if row is None or (self.generation and row.shadow_generation != self.generation):
            raise self._gone()
        return row

    def _gone(self) -> RecordMigrationError:
        return RecordMigrationError(
            f"{self.target.label}: the records were taken away or changed while they were migrated.",
            remedy="Look whether plugin and environment are still there, and try again.",
        )

    def _failed(self, failures: Sequence[FailureView]) -> RecordMigrationError:
        first = failures[0]
        step = "the document after all steps" if first.step == _SCHEMA else f"the step to version {first.step}"
        more = f" ({len(failures)} of this batch fail)" if len(failures) > 1 else ""
        return RecordMigrationError(
            f"{self.target.label}: document {first.key!r}: {step}: {first.reason}{more}; nothing was changed.",
            remedy=f"A dry run of the upgrade lists what fails; mend the documents or take a version of {self.target.plugin} "
            "that can do them.",
            plugin=self.target.plugin,
            collection=self.place.collection,
            key=first.key,
            step=first.step,
        )

    def _broken(self, step: Migration, documents: Mapping[str, msgspec.Raw], why: str) -> RecordMigrationError:
        first, last = min(documents), max(documents)
        return RecordMigrationError(
            f"{self.target.label}: documents {first!r} to {last!r}: the step to version {step.version}: {why}; "
            "nothing was changed.",
            remedy=f"Tell whoever made plugin {self.target.plugin}.",
            plugin=self.target.plugin,
            collection=self.place.collection,
            key=first,
            step=str(step.version),
        )
