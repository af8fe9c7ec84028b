# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A plugin as it would be in an environment, and what planning sees of it: manifest, settings without secrets, files."""

from __future__ import annotations

import hashlib

import msgspec
from stoker_sdk.model.finding import Finding

from stoker.domain.settings import Document, Settings
from stoker.domain.snapshot import PluginInput
from stoker.errors import InvalidInputError, NotFoundError
from stoker.services.context import ServerContext
from stoker.services.plugin_settings import masked


class Candidate(msgspec.Struct):
    """A plugin as it would be in the environment."""

    plugin: str
    version: str
    digest: str
    manifest: str
    settings: Document
    looked: Settings
    """What its schema says of these settings; found once, for it costs more than all else."""
    public: dict[str, object]
    """What anybody may know of its pairs."""
    removing: bool = False
    warnings: list[Finding] = []
    """What the plugin's own check said of its settings, and did not refuse."""


class _Manifest(msgspec.Struct):
    contributions: list[dict[str, object]] = []
    requires_plugins: list[str] = []
    conflicts_plugins: list[str] = []
    releases: list[str] = []
    operating_systems: list[str] = []


def input_of(context: ServerContext, candidate: Candidate) -> PluginInput:
    """A plugin as planning sees it. Raises InvalidInputError: a template of its bundle is no text."""
    manifest = msgspec.json.decode(candidate.manifest, type=_Manifest)
    contributions = manifest.contributions
    templates, blobs = files_of(context, candidate.plugin, candidate.version, contributions, removing=candidate.removing)
    return PluginInput(
        name=candidate.plugin,
        version=candidate.version,
        digest=candidate.digest,
        contributions=contributions,
        settings=masked(candidate.looked),
        public=candidate.public,
        templates=templates,
        blobs=blobs,
        removing=candidate.removing,
        requires=manifest.requires_plugins,
        conflicts=manifest.conflicts_plugins,
        releases=manifest.releases,
        operating_systems=manifest.operating_systems,
    )


def files_of(
    context: ServerContext, plugin: str, version: str, contributions: list[dict[str, object]], *, removing: bool = False
) -> tuple[dict[str, str], dict[str, str]]:
    """The files of a bundle that contributions name: templates by path with their text, others with their SHA-256.

    Raises:
        InvalidInputError: a template is no text, and the plugin is not being removed.
    """
    templates: dict[str, str] = {}
    blobs: dict[str, str] = {}
    for contribution in contributions:
        path = contribution.get("template")
        if isinstance(path, str) and (data := _file(context, plugin, version, path)) is not None:
            templates[path] = _text(plugin, version, path, data, removing=removing)
        for field in ("source", "executable"):
            path = contribution.get(field)
            if isinstance(path, str) and (data := _file(context, plugin, version, path)) is not None:
                blobs[path] = hashlib.sha256(data).hexdigest()
    return templates, blobs


def _file(context: ServerContext, plugin: str, version: str, path: str) -> bytes | None:
    """A file of the bundle; planning says what is wrong where there is none, with everything else that is."""
    try:
        return context.store.blob(plugin, version, path)
    except NotFoundError:
        return None


def _text(plugin: str, version: str, path: str, data: bytes, *, removing: bool) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        if removing:
            return ""  # nothing is written any more, and a broken plugin cannot stop its own removal
        finding = Finding(
            rule="E007",
            plugin=plugin,
            field="template",
            file=path,
            message=f"plugin {plugin} {version}: template {path} is not UTF-8 (byte {error.start}).",
            remedy="Save it as UTF-8 and build the bundle again; what is no text goes with tasks.upload.",
        )
        raise InvalidInputError(finding.message, remedy=finding.remedy, findings=[finding]) from error
