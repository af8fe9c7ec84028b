# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Validate settings: a function of the plugin that says what is wrong with settings, beyond what their schema can say."""

from __future__ import annotations

from collections.abc import Iterable

from stoker_sdk.model.code import check_code, check_deadline
from stoker_sdk.model.contribution import Contribution, ExtensionPoint
from stoker_sdk.model.finding import Finding


class ValidateSettings(Contribution, frozen=True, kw_only=True, tag="validate_settings"):
    """A function that is asked whenever settings are stored, after they fit the schema; a plugin has one at most.

    ::

        def check(settings: Mapping[str, JSON], context: Context) -> Sequence[Problem]: ...

    Each problem names the setting, says what is wrong, and what to do. Secrets stand as references in it, not as values.
    """

    call: str
    """The function, as ``code(FUNCTION)``."""
    required: bool = True
    """Whether settings are refused if the function itself fails; otherwise they are stored with a warning."""
    deadline: float = 10
    """Seconds."""

    def check(self) -> Iterable[Finding]:
        """Function and time."""
        yield from check_code(self.call, "call")
        yield from check_deadline(self.deadline)
        if self.when is not None:
            yield Finding(rule="X006", field="when", message="it has no condition.", remedy="Decide in the function.")


POINT = ExtensionPoint(name="validate_settings", combines="slot", contributions=(ValidateSettings,), needs_code=True)
