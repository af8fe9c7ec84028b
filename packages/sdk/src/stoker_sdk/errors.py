# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Every error that the SDK raises, with the data a caller needs to act on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stoker_sdk.model.finding import Finding


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
