# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What actions only name: contents with their secrets filled in, files of bundles; and the redaction of what comes back."""

from __future__ import annotations

from collections.abc import Mapping

from stoker.db.vault import SecretName
from stoker.domain.plan import PlannedContent
from stoker.domain.secret import SecretSlot, Text, filled, quoted, unfit
from stoker.errors import NotFoundError, UnfitSecretError
from stoker.plugin_host.store import PluginStore

BLOB = "blob:"
_SHORTEST_LINE = 8
"""Shorter lines of a secret of several lines are not searched for on their own: they would be found everywhere."""

_ARMOUR = "-----"
"""Begins the first and the last line of a key in PEM, which are no secret."""


class Materials:
    """Gives transports the final bytes; keeps the secrets of one environment in memory only."""

    def __init__(
        self,
        contents: list[PlannedContent],
        secrets: Mapping[SecretName, str],
        store: PluginStore | None = None,
        versions: Mapping[str, str] | None = None,
    ) -> None:
        """Take a plan's contents, the environment's secrets, and the versions of the plugins that it uses."""
        self._contents = contents
        self._secrets = secrets
        self._store = store
        self._versions = versions or {}

    def content(self, content_id: str) -> bytes:
        """The final bytes of a planned content or a bundle's file."""
        if not content_id.startswith(BLOB):
            return self.text(self._contents[int(content_id)].text).encode()
        plugin, _, path = content_id.removeprefix(BLOB).partition(":")
        if self._store is None or plugin not in self._versions:
            raise NotFoundError(f"plugin {plugin}: its file {path} is not there.", remedy="Install the plugin again.")
        return self._store.blob(plugin, self._versions[plugin], path)

    def text(self, text: Text) -> str:
        """A text with its secrets in place."""
        if isinstance(text, str):
            return text
        return "".join(piece if isinstance(piece, str) else self._reveal(piece) for piece in text)

    def _reveal(self, slot: SecretSlot) -> str:
        try:
            value = self._secrets[slot.plugin, slot.name, slot.version]
        except KeyError as error:
            raise NotFoundError(f"{slot} is no longer there.", remedy="Make a new plan.") from error
        reason = unfit(slot, value)
        if reason:
            raise UnfitSecretError(f"plugin {slot.plugin}: {reason}.", remedy=f"Change the setting {slot.name}.")
        return filled(slot, value)


class Redactor:
    """Replaces every secret of an environment in a text by its name."""

    def __init__(self, secrets: Mapping[SecretName, str]) -> None:
        """Take the secrets; longer ones are looked for first."""
        shown: dict[str, str] = {}
        for (plugin, name, version), value in secrets.items():
            lines = [line for line in value.splitlines() if len(line) >= _SHORTEST_LINE and not line.startswith(_ARMOUR)]
            for part in (value, *lines):
                if part.strip():
                    shown.setdefault(part, str(SecretSlot(plugin, name, version)))
        self._shown = sorted(shown.items(), key=lambda item: -len(item[0]))

    def __call__(self, text: str, *, cut: bool = False) -> str:
        """The text without secrets.

        Args:
            text: what may hold some.
            cut: the beginning of the text is missing, perhaps in the middle of a secret.
        """
        if not text:
            return text
        for value, name in self._shown:
            text = text.replace(value, name)
            for escaped in (quoted(value), value.encode("unicode_escape").decode()):
                if escaped != value:
                    text = text.replace(escaped, name)
        return self._without_rest(text) if cut else text

    def _without_rest(self, text: str) -> str:
        for value, name in self._shown:
            for start in range(1, len(value) - 3):
                if text.startswith(value[start:]):
                    return name + text[len(value) - start :]
        return text
