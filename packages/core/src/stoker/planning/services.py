# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Services: each becomes packages, files and tasks of its plugin, and entries that name a service find their file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import msgspec
from stoker_sdk.extension_points import tasks
from stoker_sdk.extension_points.config_files import ConfigFile, ListItem, Option, WholeFile
from stoker_sdk.extension_points.node_packages import NodePackages
from stoker_sdk.extension_points.services import Service
from stoker_sdk.model.contribution import Contribution
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.naming import did_you_mean

from stoker.domain.snapshot import PluginInput

Read: TypeAlias = Sequence[tuple[PluginInput, Sequence[Contribution]]]
"""Plugins, ordered by name, with their contributions."""

_Entry = ConfigFile | Option | ListItem | WholeFile


class ServicePackages(NodePackages, frozen=True, kw_only=True, tag="services.packages"):
    """The packages of a service."""

    service: str

    @property
    def label(self) -> str:
        """The service's label."""
        return f"services {self.service}"


class ServiceConfigFile(ConfigFile, frozen=True, kw_only=True, tag="services.file"):
    """A file of a service."""

    @property
    def label(self) -> str:
        """The service's label."""
        return f"services {self.service}"


class ServiceUnit(tasks.Service, frozen=True, kw_only=True, tag="tasks.service"):
    """A unit of a service: the task that starts it, and restarts it when something of the service changes."""

    service: str

    @property
    def label(self) -> str:
        """The service's label."""
        return f"services {self.service}"


class Services:
    """The services of a snapshot's plugins, and what their parts are made of."""

    def __init__(self, read: Read) -> None:
        """Look at all plugins; those that go bring services for themselves alone."""
        self.findings: list[Finding] = []
        self._owners: dict[str, str] = {}
        self._services: dict[str, Service] = {}
        self._contested: set[str] = set()
        self._added: dict[str, list[str]] = {}
        for plugin, contributions in read:
            for item in contributions:
                if isinstance(item, Service) and not plugin.removing:
                    self._add(plugin, item)
                elif isinstance(item, ConfigFile | WholeFile) and item.service:
                    # Of plugins that go as well: that their files go is a change.
                    self._added.setdefault(item.service, []).append(item.path)

    @property
    def selectors(self) -> dict[str, Sequence[str]]:
        """For each service the selectors of its nodes."""
        return {name: service.roles for name, service in sorted(self._services.items())}

    def _add(self, plugin: PluginInput, service: Service) -> None:
        owner = self._owners.setdefault(service.name, plugin.name)
        if service.name not in self._services:
            self._services[service.name] = service
        elif owner != plugin.name:
            self._contested.add(service.name)
            self.findings.append(
                Finding(
                    rule="J011",
                    plugin=plugin.name,
                    contribution=service.label,
                    field="name",
                    message=f"the service {service.name} is brought by {owner} already.",
                    remedy=f"Disable {owner} or {plugin.name}, or rename the service.",
                )
            )

    def expand(self, plugin: PluginInput, contributions: Sequence[Contribution]) -> list[Contribution]:
        """A plugin's contributions as planning takes them: services in parts, entries with paths and roles."""
        own = {item.name: item for item in contributions if isinstance(item, Service)}
        known: Mapping[str, Service] = {**self._services, **own} if plugin.removing else self._services
        expanded: list[Contribution] = []
        for item in contributions:
            if isinstance(item, Service):
                if plugin.removing or self._owners[item.name] == plugin.name:
                    expanded += self._parts(item)
            elif isinstance(item, _Entry) and item.service:
                expanded += self._entry(plugin, item, known)
            else:
                expanded.append(item)
        return expanded

    def _parts(self, service: Service) -> Iterator[Contribution]:
        if service.packages:
            yield ServicePackages(
                service=service.name,
                when=service.when,
                roles=service.roles,
                packages=service.packages,
                os_family=service.os_family,
            )
        for file in service.files:
            yield ServiceConfigFile(
                service=service.name,
                when=service.when,
                roles=service.roles,
                path=file.path,
                format=file.format,
                owner=file.owner,
                group=file.group,
                mode=file.mode,
                header=file.header,
                sections=file.sections,
            )
        names = [item if isinstance(item, str) else item.name for item in service.packages]
        paths = sorted({*(file.path for file in service.files), *self._added.get(service.name, ())})
        triggers = [*(f"file:{path}" for path in paths), *(f"package:{name}" for name in names)]
        for unit in service.units:
            yield ServiceUnit(
                service=service.name,
                name=unit,
                when=service.when,
                title=f"{unit} of {service.title or service.name}",
                roles=service.roles,
                after=service.after,
                timeout=service.timeout,
                concurrency=service.concurrency,
                restart_on=triggers if service.on_change != "none" else (),
                reload=service.on_change == "reload",
                ready=service.ready,
                environment=service.environment,
            )

    def _entry(self, plugin: PluginInput, entry: _Entry, known: Mapping[str, Service]) -> Iterator[Contribution]:
        service = known.get(entry.service)
        if service is None:
            if not entry.optional and not plugin.removing:
                self.findings.append(
                    Finding(
                        rule="J012",
                        plugin=plugin.name,
                        contribution=entry.label,
                        field="service",
                        message=f"no enabled plugin brings the service {entry.service!r}.",
                        remedy=f"{did_you_mean(entry.service, known)}Enable the plugin that brings it, or set optional.",
                    )
                )
            return
        if isinstance(entry, ConfigFile | WholeFile):
            yield msgspec.structs.replace(entry, roles=service.roles)
            return
        file = service.find_file(entry.file)
        if file is not None:
            yield msgspec.structs.replace(entry, roles=service.roles, path=file.path)
        elif not plugin.removing and service.name not in self._contested:
            self.findings += [
                msgspec.structs.replace(finding, plugin=plugin.name, contribution=entry.label)
                for finding in service.check_file(entry.file)
            ]
