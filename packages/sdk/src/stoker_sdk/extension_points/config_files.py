# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Configuration files: typed entries that are merged into complete files with provenance per line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from stoker_sdk.model.contribution import Contribution, ExtensionPoint
from stoker_sdk.model.expression import Value
from stoker_sdk.model.file_format import FileFormat
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.naming import check_owner, check_selector, check_service


class _Entry(Contribution, frozen=True, kw_only=True):
    """What all entries have in common."""

    roles: Sequence[str] = ("*",)
    """The nodes that get the entry: roles or other selectors, ``*`` for every node. With ``service``, that one's nodes get it."""
    service: str = ""
    """The service whose nodes get the entry; when it changes something, the service's units restart or reload."""
    optional: bool = False
    """With ``service``: whether the entry is left out, instead of refused, where no enabled plugin brings that service."""

    def check(self) -> Iterable[Finding]:
        """The selector or the service."""
        yield from check_selector(self.roles)
        if self.service:
            yield from check_service(self.service, "service")
            if tuple(self.roles) != ("*",):
                yield Finding(
                    rule="C004",
                    field="roles",
                    message="the service says which nodes get this entry.",
                    remedy="Leave roles out, or name a path and roles instead of the service.",
                )
        elif self.optional:
            yield Finding(
                rule="C005", field="optional", message="it is optional, but names no service.", remedy="Name the service."
            )


class ConfigFile(_Entry, frozen=True, kw_only=True, tag="config_files.file"):
    """Declares a file that entries are merged into: its format, owner and mode. Several plugins may declare it alike."""

    path: str
    """The file on the node: an absolute path."""
    format: FileFormat
    """``ini``: sections with ``key = value``. ``yaml``: a tree; a section is a dotted path. ``plain``: lines ``key value``.
    ``blocks``: a section is a line as it is written, followed by indented lines ``key value``."""
    owner: str = "root"
    """User that owns it."""
    group: str = "root"
    """Group that owns it."""
    mode: str = "0644"
    """Permissions, octal."""
    header: str = ""
    """A comment for the top of the file (lines without comment signs)."""
    sections: Sequence[str] = ()
    """Sections that come first, in this order; the others follow, in the order of plugins' names and of the entries in each."""

    @property
    def label(self) -> str:
        """``config_files.file PATH``."""
        return f"config_files.file {self.path}"

    def check(self) -> Iterable[Finding]:
        """Selector, owner and mode."""
        yield from super().check()
        yield from check_owner(self.owner, self.group, self.mode)


class _Addition(_Entry, frozen=True, kw_only=True):
    """What is added to a file that somebody declares."""

    path: str = ""
    """The file on the node: an absolute path; or use ``service``."""
    file: str = ""
    """With ``service``: which of its files, by name; not needed if it has one only."""

    def check(self) -> Iterable[Finding]:
        """As for all entries; and there is one way to the file."""
        yield from super().check()
        if bool(self.path) == bool(self.service):
            yield Finding(
                rule="C006",
                field="path",
                message="Give either path or service.",
                remedy="A service's file needs no path; name it in 'file' if the service has several.",
            )
        elif self.file and not self.service:
            yield Finding(
                rule="C006", field="file", message="it names a service's file, but no service.", remedy="Name the service."
            )

    def _place(self, section: str, key: str) -> str:
        where = self.path or " ".join(("service", self.service, *([self.file] if self.file else [])))
        return f"{where} {f'[{section}] ' if section else ''}{key}"


class Option(_Addition, frozen=True, kw_only=True, tag="config_files.option"):
    """One value of one key; two different values at one level are a conflict."""

    key: str
    """The option's name."""
    value: Value
    """Its value; ``None`` leaves the option out. In ``plain`` and ``blocks`` files ``True`` writes the key alone."""
    section: str = ""
    """The section (``ini``, ``blocks``), the dotted path (``yaml``); empty for the top. Not used by ``plain``."""
    level: Literal["default", "set"] = "set"
    """``default`` gives way to ``set``; the operator's override wins over both."""

    @property
    def label(self) -> str:
        """``config_files.option PATH [section] key``."""
        return f"config_files.option {self._place(self.section, self.key)}"

    def check(self) -> Iterable[Finding]:
        """Selector and file, and names that stand on one line."""
        yield from super().check()
        yield from _check_place(self.section, self.key)


class ListItem(_Addition, frozen=True, kw_only=True, tag="config_files.list_item"):
    """Items of a list option: an ordered set that several plugins add to."""

    key: str
    """The list option's name. In ``plain`` and ``blocks`` files each item becomes a line ``key item``."""
    items: Value
    """One item, a list of items, or an expression that gives either."""
    section: str = ""
    """The section (``ini``, ``blocks``), the dotted path (``yaml``); empty for the top. Not used by ``plain``."""
    before: Sequence[str] = ()
    """Items that must come after these."""
    after: Sequence[str] = ()
    """Items that must come before these."""
    weight: int = 0
    """Among items that no order binds: lower comes first; then by text."""
    separator: str = ","
    """What stands between items in ``ini`` files; all who add must agree."""

    @property
    def label(self) -> str:
        """``config_files.list_item PATH [section] key``."""
        return f"config_files.list_item {self._place(self.section, self.key)}"

    def check(self) -> Iterable[Finding]:
        """Selector and file, and names that stand on one line."""
        yield from super().check()
        yield from _check_place(self.section, self.key)


class WholeFile(_Entry, frozen=True, kw_only=True, tag="config_files.whole_file"):
    """A complete file, as text or as a Jinja2 template of the bundle; nobody else can add to it."""

    path: str
    """The file on the node: an absolute path."""
    content: Value = None
    """The text; or use ``template``."""
    template: str | None = None
    """A Jinja2 template's path inside the plugin's folder; it sees the same variables as expressions."""
    owner: str = "root"
    """User that owns it."""
    group: str = "root"
    """Group that owns it."""
    mode: str = "0644"
    """Permissions, octal."""

    @property
    def label(self) -> str:
        """``config_files.whole_file PATH``."""
        return f"config_files.whole_file {self.path}"

    def check(self) -> Iterable[Finding]:
        """Selector, owner and mode; exactly one source."""
        yield from super().check()
        yield from check_owner(self.owner, self.group, self.mode)
        if (self.content is None) == (self.template is None):
            yield Finding(
                rule="C001",
                field="content",
                message="Give either content or template.",
                remedy="Remove one of the two, or add one.",
            )


def _check_place(section: str, key: str) -> Iterable[Finding]:
    """Whatever the file's format is, a section and a key stand on one line."""
    for field, text in (("section", section), ("key", key)):
        if not text.isprintable() or (field == "key" and not text.strip()):
            yield Finding(
                rule="C002",
                field=field,
                message=f"{text!r} cannot be a {field}.",
                remedy="Write one line of printable characters.",
            )


POINT = ExtensionPoint(name="config_files", combines="patch", contributions=(ConfigFile, Option, ListItem, WholeFile))
