# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Where a secret stands in a planned text: the place, never the value."""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class SecretSlot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A gap in a text that is filled when the text is applied."""

    plugin: str
    """The plugin whose setting it is."""
    name: str
    """The setting's dotted path, e.g. ``api_key`` or ``arrays.0.token``."""
    version: int
    """Which version of the secret."""

    def __str__(self) -> str:
        """What people see in its place."""
        return f"<secret {self.plugin}.{self.name} v{self.version}>"


Text: TypeAlias = str | list[str | SecretSlot]
"""A text, or its pieces with gaps where secrets go."""
