# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Every error that the SDK raises, with the data a caller needs to act on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One fault found in a plugin, a bundle, settings or a plan."""

    rule: str
    """A stable id, e.g. ``P003``; the manual has a section for each."""
    message: str
    """What is wrong: who, what, where."""
    remedy: str
    """What to do about it, as an instruction."""
    severity: Literal["error", "warning"] = "error"
    """``error`` refuses, ``warning`` is shown."""
    plugin: str = ""
    """The plugin it is about, or an empty string."""
    contribution: str = ""
    """The contribution's label, e.g. ``tasks.shell greet``."""
    field: str = ""
    """The field's path inside the contribution, e.g. ``after[0]``."""
    file: str = ""
    """The file, relative to the plugin's folder."""
    line: int = 0
    """The line in that file, counted from 1; 0 if not known."""

    def __str__(self) -> str:
        """One line for a terminal: place, rule, message, remedy."""
        place = f"{self.file}:{self.line}: " if self.line else (f"{self.file}: " if self.file else "")
        who = " ".join(part for part in (self.plugin, self.contribution, self.field) if part)
        return f"{place}{self.rule} {who + ': ' if who else ''}{self.message} {self.remedy}".rstrip()


class StokerSdkError(Exception):
    """The base of all errors raised by the SDK."""


class InvalidPluginError(StokerSdkError, ValueError):
    """A plugin does not fit the rules of the SDK.

    Attributes:
        findings: what is wrong, one finding per fault, each with a rule id and a remedy.
    """

    def __init__(self, plugin: str, findings: Sequence[Finding]) -> None:
        """Keep the findings and make a message that shows all of them."""
        self.plugin = plugin
        self.findings = tuple(findings)
        lines = "\n".join(f"  {finding}" for finding in self.findings)
        super().__init__(f"plugin {plugin!r} is not valid:\n{lines}")


class InvalidBundleError(StokerSdkError, ValueError):
    """A bundle is broken, was tampered with, or is hostile.

    Attributes:
        rule: the id of the rule that refused it, e.g. ``B004``.
        member: the file in the bundle that it is about, or an empty string.
    """

    def __init__(self, bundle: str, rule: str, reason: str, *, member: str = "", remedy: str = "") -> None:
        """Keep what was refused and why."""
        self.bundle = bundle
        self.rule = rule
        self.reason = reason
        self.member = member
        self.remedy = remedy or "Build the bundle again with 'stoker-plugin build'."
        where = f" ({member})" if member else ""
        super().__init__(f"{rule} bundle {bundle}{where}: {reason}. {self.remedy}")


class ExpressionError(StokerSdkError, ValueError):
    """An expression cannot be parsed or evaluated.

    Attributes:
        source: the expression's text.
        reason: what the evaluator said.
    """

    def __init__(self, source: str, reason: str) -> None:
        """Keep the expression beside the reason."""
        self.source = source
        self.reason = reason
        super().__init__(f"expression {source!r}: {reason}")


class ChannelError(StokerSdkError, ConnectionError):
    """The server cannot be reached from a plugin's worker, or the token of the call has ended.

    Attributes:
        reason: what happened.
    """

    def __init__(self, reason: str) -> None:
        """Keep the reason."""
        self.reason = reason
        super().__init__(f"the server cannot be asked: {reason}")


class RecordsError(StokerSdkError, ValueError):
    """The server refused something that was asked of a plugin's records.

    Attributes:
        collection: the collection that it is about.
        kind: ``unknown``, ``shape``, ``limit``, ``outdated`` or ``refused``.
        detail: what is wrong.
        remedy: what to do about it.
    """

    def __init__(self, collection: str, kind: str, detail: str, remedy: str = "") -> None:
        """Keep what was refused and why."""
        self.collection = collection
        self.kind = kind
        self.detail = detail
        self.remedy = remedy
        super().__init__(f"records {collection}: {detail} {remedy}".rstrip())


class RefusedError(StokerSdkError):
    """The server refused what a plugin's code asked for on the way back.

    Attributes:
        status: the HTTP status.
        kind: a stable word for programs, e.g. ``forbidden``.
        detail: what is wrong.
        remedy: what to do about it.
        data: the whole problem document.
    """

    def __init__(self, status: int, kind: str, detail: str, remedy: str, data: Mapping[str, object]) -> None:
        """Keep what the server said."""
        self.status = status
        self.kind = kind
        self.detail = detail
        self.remedy = remedy
        self.data = data
        super().__init__(f"{detail} {remedy}".strip())
