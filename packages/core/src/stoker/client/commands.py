# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Requests for commands of plugins: what there are, and carrying one out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict
from urllib.parse import quote

import httpx
import msgspec

from stoker.client.connection import error_of
from stoker.client.requests import Requests
from stoker.client.requests import part_of_path as _q
from stoker.errors import StokerError, UnauthorizedError


class PluginAnswerError(StokerError):
    """A plugin's application refused or failed, in its own words."""

    status = 502
    kind = "plugin-answer"


class ParameterDocument(TypedDict):
    """One word or option of a command."""

    name: str
    kind: str
    type: str
    required: bool
    multiple: bool
    help: str
    choices: list[str]


class CommandDocument(TypedDict):
    """A command ``stoker PLUGIN NAME``."""

    name: str
    title: str
    method: str
    path: str
    parameters: list[ParameterDocument]
    columns: list[str]
    examples: list[str]


class PluginCommandsDocument(TypedDict):
    """The commands of one plugin."""

    plugin: str
    version: str
    title: str
    commands: list[CommandDocument]


class CommandRequests(Requests):
    """Requests about commands of plugins."""

    def commands(self, known: str = "") -> tuple[list[PluginCommandsDocument] | None, str]:
        """The commands of plugins, and their tag; ``None`` if they are still those of the tag that is known."""
        request = self._http.build_request("GET", "/api/commands", headers={"If-None-Match": known} if known else {})
        response = self._answer_to(request)
        if response.status_code == httpx.codes.NOT_MODIFIED:
            return None, known
        if not response.is_success:
            raise self._error_of(response)
        return msgspec.json.decode(response.content)["items"], response.headers.get("etag", "")

    def carry_out(
        self,
        plugin: str,
        command: CommandDocument,
        words: Mapping[str, str],
        given: Mapping[str, object],
        *,
        environment: str = "",
    ) -> object:
        """Let a plugin's application answer a command; gives the JSON that it answers.

        Args:
            plugin: its name.
            command: what is asked for.
            words: what stands in the path, by name.
            given: the other parameters.
            environment: whose version of the plugin answers; the server's default version without one.
        """
        root = f"/api/environments/{_q(environment)}/plugins/{_q(plugin)}" if environment else f"/api/plugins/{_q(plugin)}"
        path = command["path"]
        for name, word in words.items():
            path = path.replace(f"{{{name}}}", _segment(word))
        if ({".", "..", ""} & {*path[1:].rstrip("/").split("/")} and path != "/") or any(sign in path for sign in "?#\\"):
            raise PluginAnswerError(
                f"plugin {plugin}: the path of its command, {command['path'][:80]!r}, leads out of its application.",
                remedy="Nothing was asked for. Tell whoever made the plugin.",
            )
        by_query = command["method"] in ("GET", "DELETE")
        request = self._http.build_request(
            command["method"],
            f"{root}{path}",
            params={name: _texts(value) for name, value in given.items()} if by_query else None,
            json=None if by_query else dict(given),
        )
        response = self._answer_to(request)
        if not response.is_success:
            raise self._plugin_error(plugin, response, environment)
        if not response.content:
            return {}
        try:
            return msgspec.json.decode(response.content)
        except msgspec.DecodeError as error:
            raise PluginAnswerError(
                f"plugin {plugin} answered something that is not JSON ({response.headers.get('content-type', 'of no type')}).",
                remedy="Tell whoever made the plugin: commands are answered in JSON.",
            ) from error

    def _plugin_error(self, plugin: str, response: httpx.Response, environment: str) -> StokerError:
        if error_of(response) is not None:
            found = self._error_of(response)
            if not isinstance(found, UnauthorizedError):
                found.data.setdefault("plugin", plugin)
            return found
        text = response.text.strip().splitlines()
        said = f": {text[0][:200]}" if text and "html" not in response.headers.get("content-type", "") else ""
        return PluginAnswerError(
            f"plugin {plugin} answered {response.status_code} {response.reason_phrase}{said}.",
            remedy=f"'stoker plugins logs {plugin}' shows what its code wrote"
            + ("." if environment else "; if the command is about an environment, name it with --env."),
        )


def _segment(word: str) -> str:
    """A word as one segment of a path, whatever is in it; only the two that mean a place cannot be one."""
    return _q(word) if word in (".", "..") or not word.strip() else quote(word, safe="")


def _texts(value: object) -> str | list[str]:
    if isinstance(value, list | tuple):
        return [str(item) for item in value]
    return str(value).lower() if isinstance(value, bool) else str(value)
