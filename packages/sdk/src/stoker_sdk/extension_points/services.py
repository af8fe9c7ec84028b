# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Services: a named part of a product, with packages, units and configuration files, that other plugins can address."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from stoker_sdk.model.contribution import Contribution, ExtensionPoint
from stoker_sdk.model.dependency import Edge
from stoker_sdk.model.expression import Environment
from stoker_sdk.model.file_format import FileFormat
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.naming import check_owner, check_selector, check_service, check_unit, did_you_mean
from stoker_sdk.model.package import Package, check_packages
from stoker_sdk.model.selector import read_selector


class ServiceFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A configuration file of a service, which entries of any plugin are merged into."""

    path: str
    """The file on the node: an absolute path."""
    format: FileFormat
    """``ini``, ``yaml``, ``plain`` or ``blocks``, as for ``config_files.file``."""
    name: str = ""
    """What entries call it; the last part of its path if empty."""
    owner: str = "root"
    """User that owns it."""
    group: str = "root"
    """Group that owns it."""
    mode: str = "0644"
    """Permissions, octal."""
    header: str = ""
    """A comment for the top of the file (lines without comment signs)."""
    sections: Sequence[str] = ()
    """Sections that come first, in this order; the others follow."""

    @property
    def called(self) -> str:
        """What entries call it."""
        return self.name or self.path.rpartition("/")[2]


class Service(Contribution, frozen=True, kw_only=True, tag="services"):
    """A part of a product: its packages are installed, its files written, its units started, and restarted on a change."""

    name: str
    """The service's name, unique in an environment: lower case letters, digits and dashes."""
    roles: Sequence[str]
    """The nodes that have it: roles, or other selectors but ``service(...)``."""
    title: str = ""
    """What a person reads; the name if empty."""
    packages: Sequence[str | Package] = ()
    """Operating-system packages; they are installed by the plugin's task ``packages``."""
    os_family: str = "debian"
    """The family of operating systems that the packages' names belong to."""
    units: Sequence[str] = ()
    """Units of systemd; each becomes a task ``service.UNIT`` of the plugin, in the phase ``start``."""
    files: Sequence[ServiceFile] = ()
    """Its configuration files. Entries of any plugin say ``service`` instead of a path."""
    on_change: Literal["restart", "reload", "none"] = "restart"
    """What the units do when a package or a file of the service changes, whoever changed it."""
    concurrency: int = 0
    """On how many nodes units start or restart at the same time; 0 for all, 1 for one by one."""
    ready: str | None = None
    """Shell text that exits 0 when the service works on the node; the units' tasks end when it does. With ``concurrency`` the
    next node goes on only then, and not at all if it never does."""
    environment: Environment = {}
    """Environment variables of ``ready``."""
    after: Sequence[Edge] = ()
    """Tasks that must be finished before the units start."""
    timeout: int = 600
    """Seconds for one attempt of a unit's task, ``ready`` included."""

    @property
    def label(self) -> str:
        """``services NAME``."""
        return f"services {self.name}"

    def find_file(self, name: str = "") -> ServiceFile | None:
        """The file that an entry means: by name, or the only one."""
        found = [file for file in self.files if name in ("", file.called)]
        return found[0] if len(found) == 1 else None

    def check_file(self, name: str) -> Iterable[Finding]:
        """A finding if an entry that says ``file=name`` means none of the files, or more than one."""
        if self.find_file(name) is not None:
            return
        names = [file.called for file in self.files]
        if not names:
            message = f"the service {self.name} has no file that entries are merged into."
            remedy = "Write a file of your own, with config_files.whole_file."
        elif name:
            message = f"the service {self.name} has no file {name!r}."
            remedy = f"{did_you_mean(name, names)}There are: {', '.join(names)}."
        else:
            message, remedy = f"the service {self.name} has several files.", f"Name one in 'file': {', '.join(names)}."
        yield Finding(rule="J010", field="file", message=message, remedy=remedy)

    def check(self) -> Iterable[Finding]:
        """Names, selectors, packages, units and files."""
        yield from check_service(self.name, "name")
        yield from check_selector(self.roles)
        for index, role in enumerate(self.roles):
            if read_selector(role).kind == "service":
                yield Finding(
                    rule="J004",
                    field=f"roles[{index}]",
                    message="a service cannot be where another service is.",
                    remedy="Name the roles of that service.",
                )
        yield from check_packages(self.packages)
        for index, unit in enumerate(self.units):
            yield from check_unit(unit, f"units[{index}]")
        names: set[str] = set()
        for index, file in enumerate(self.files):
            yield from check_owner(file.owner, file.group, file.mode, f"files[{index}].")
            if file.called in names:
                yield Finding(
                    rule="J005",
                    field=f"files[{index}].name",
                    message=f"two files are called {file.called!r}.",
                    remedy="Give one of them another name.",
                )
            names.add(file.called)
        if self.timeout <= 0 or self.concurrency < 0:
            field = "timeout" if self.timeout <= 0 else "concurrency"
            yield Finding(
                rule="T001" if field == "timeout" else "T002",
                field=field,
                message=f"{getattr(self, field)} cannot be.",
                remedy="Give a number of seconds above 0; for concurrency 0 or more.",
            )


POINT = ExtensionPoint(name="services", combines="ordered set", contributions=(Service,))
