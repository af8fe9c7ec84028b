# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Which plugin version answers at an application's address, by the registry as it is at that moment."""

from __future__ import annotations

import msgspec
from stoker_sdk.context.values import Environment

from stoker.errors import NotFoundError
from stoker.plugin_host.app_addresses import Address
from stoker.plugin_host.registry import Registry


class PluginGoneError(NotFoundError):
    """The plugin was here and is no more."""

    kind = "plugin-gone"


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What an address leads to."""

    plugin: str
    version: str
    digest: str
    environment: Environment | None

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"plugin {self.plugin} {self.version}"

    @property
    def environment_id(self) -> str:
        """Empty at the server's address."""
        return self.environment.id if self.environment else ""

    @property
    def environment_name(self) -> str | None:
        """``None`` at the server's address."""
        return self.environment.name if self.environment else None


def version_in_use(registry: Registry, plugin: str, environment: str) -> str:
    """The version that an environment (by id) uses, or the server's default if none is named; empty if there is none."""
    if environment:
        home = registry.environments.get(environment)
        return home.plugins.get(plugin, "") if home else ""
    known = registry.plugins.get(plugin)
    return known.default if known else ""


def place_of(registry: Registry, address: Address) -> Place:
    """What answers at an address.

    Raises:
        PluginGoneError: the plugin was uninstalled; the reason is told.
        NotFoundError: nothing answers there.
    """
    environment = _environment(registry, address.environment) if address.environment else None
    plugin = address.plugin
    known = registry.plugins.get(plugin)
    if known is None:
        if reason := registry.gone.get(plugin):
            raise PluginGoneError(
                f"plugin {plugin} answers no more: {reason}", remedy="Install it again to use it.", reason=reason
            )
        raise NotFoundError(f"plugin {plugin} is not installed.", remedy="'stoker plugins list' shows all that are.")
    version = version_in_use(registry, plugin, environment.id if environment else "")
    if not version and environment is not None:
        raise NotFoundError(
            f"plugin {plugin} is not enabled in environment {environment.name}.",
            remedy=f"'stoker env enable {environment.name} {plugin}' enables it.",
        )
    entry = known.versions.get(version)
    if entry is None or not entry.application:
        raise NotFoundError(
            f"plugin {plugin} {version} has no application.", remedy="'stoker plugins show' tells what a plugin has."
        )
    return Place(plugin=plugin, version=version, digest=entry.digest, environment=environment)


def _environment(registry: Registry, key: str) -> Environment:
    home = registry.environments.get(key)
    if home is not None:
        return Environment(id=key, name=home.name)
    for identity, one in registry.environments.items():
        if one.name == key:
            return Environment(id=identity, name=key)
    raise NotFoundError(f"environment {key!r} is not there.", remedy="'stoker env list' shows all.")
