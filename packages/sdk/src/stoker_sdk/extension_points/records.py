# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Records: collections of JSON documents in the plugin's own storage in the database."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

import msgspec

from stoker_sdk.model.code import check_code
from stoker_sdk.model.contribution import Contribution, ExtensionPoint
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.naming import check_kind


class Migration(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The step from one version of a collection's schema to the next.

    The function gets a batch of documents and gives the same documents in the new version::

        def with_owner(documents: Mapping[str, JSON]) -> Mapping[str, JSON | None]: ...

    Keys are the records' keys; a document that it gives as ``None`` is dropped. It may be called several times for one record.
    """

    version: int
    """The schema version that it makes, from the one before."""
    call: str
    """The function, as ``code(FUNCTION)``."""
    batch: int = 500
    """How many documents it gets at once, at most."""


class Collection(Contribution, frozen=True, kw_only=True, tag="records"):
    """A named collection of JSON documents that belongs to the plugin alone.

    A document is found by its key in the collection; in a collection of scope ``environment`` each environment has its own.
    """

    name: str
    """Lower case letters, digits and underscores; unique in the plugin."""
    json_schema: Mapping[str, object] = msgspec.field(name="schema")
    """JSON Schema (2020-12) of one document."""
    version: int = 1
    """The version of the schema; raise it by one with each change that old documents do not fit, and add a migration."""
    scope: Literal["environment", "server"] = "environment"
    """Whether each environment has its own documents, or all share them."""
    key_of: Literal["", "node", "environment", "deployment"] = ""
    """Keys are ids of such objects: records then go with the object, and serializer hooks may read them."""
    indexes: Sequence[str] = ()
    """Fields by which documents are looked for often, as dotted paths, e.g. ``rack`` or ``location.room``."""
    migrations: Sequence[Migration] = ()
    """Steps from earlier versions of the schema."""
    reads_versions: Sequence[int] = ()
    """Further schema versions that the plugin's code reads and writes as they are (for collections of scope ``server``)."""
    max_bytes: int = 256 * 1024
    """The largest document, as JSON."""
    max_documents: int = 1_000_000
    """How many documents there may be (in each environment)."""

    @property
    def label(self) -> str:
        """``records NAME``."""
        return f"records {self.name}"

    def check(self) -> Iterable[Finding]:
        """Name, versions, indexes and limits; a collection is there or not, so it has no condition."""
        yield from check_kind(self.name, "name")
        if self.version < 1:
            yield Finding(rule="X020", field="version", message=f"{self.version} is not a version.", remedy="Begin with 1.")
        for index, step in enumerate(self.migrations):
            yield from check_code(step.call, f"migrations[{index}].call")
            if not 2 <= step.version <= self.version:
                yield Finding(
                    rule="X021",
                    field=f"migrations[{index}].version",
                    message=f"there is no step to version {step.version} of a schema of version {self.version}.",
                    remedy="Name the version that the step makes: from 2 to the collection's own.",
                )
        for index, path in enumerate(self.indexes):
            if not _FIELD.fullmatch(path) or len(path) > MAX_INDEX or index >= MAX_INDEXES:
                message = "these are too many." if index >= MAX_INDEXES else "it is not a field."
                remedy = f"Write at most {MAX_INDEXES} dotted paths of letters, digits, _ and -, e.g. location.rack."
                yield Finding(rule="X022", field=f"indexes[{index}]", message=message, remedy=remedy)
        if self.max_bytes <= 0 or self.max_documents <= 0:
            yield Finding(rule="X023", field="max_bytes", message="a limit is not above 0.", remedy="Give numbers above 0.")
        if self.when is not None:
            yield Finding(rule="X006", field="when", message="it has no condition.", remedy="Leave 'when' out.")


MAX_INDEXES: Final = 16
"""Indexes of one collection."""
_FIELD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}(\.[A-Za-z_][A-Za-z0-9_-]{0,62}){0,7}", re.ASCII)
MAX_INDEX: Final = 200
"""Characters of an indexed field's path."""

POINT = ExtensionPoint(name="records", combines="slot", contributions=(Collection,), needs_code=True)
