# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The JSON documents of environments as files, as a client reads them."""

from __future__ import annotations

from typing import TypedDict


class ChangeDocument(TypedDict):
    """One thing that two states of an environment say differently."""

    kind: str
    place: str
    before: object
    after: object


class DifferencesDocument(TypedDict):
    """What applying a document would change."""

    same: bool
    changes: list[ChangeDocument]


class AppliedDocument(TypedDict):
    """What applying a document has changed, or would."""

    environment: str
    created: bool
    changes: list[ChangeDocument]
    dry_run: bool
