# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Options: whether sections and keys can stand in a file of their format."""

from __future__ import annotations

import re
from collections.abc import Iterable

from stoker_sdk.extension_points.config_files import ConfigFile, ListItem, Option
from stoker_sdk.extension_points.services import Service
from stoker_sdk.model.finding import Finding
from stoker_sdk.plugin import Plugin

_INI_SECTION = re.compile(r"[^\[\]]*")
# A reader takes a line that begins with [ # ; for something else, and ends the key at the first = or :
_INI_KEY = re.compile(r"(?![\[#;\s])[^=:]*(?<!\s)")
_BLOCK = re.compile(r"[^#\s](.*\S)?")
_PLAIN_KEY = re.compile(r"[^#\s]\S*( \S+)*")


def check_options(plugin: Plugin) -> Iterable[Finding]:
    """Names that would be read as something else; files and services of other plugins are left to the plan."""
    formats = {item.path: item.format for item in plugin.contributions if isinstance(item, ConfigFile)}
    formats |= {file.path: file.format for item in plugin.contributions if isinstance(item, Service) for file in item.files}
    services = {item.name: item for item in plugin.contributions if isinstance(item, Service)}
    for item in plugin.contributions:
        if not isinstance(item, Option | ListItem):
            continue
        service = services.get(item.service)
        file = service.find_file(item.file) if service is not None else None
        form = file.format if file is not None else formats.get(item.path, "")
        wrong = []
        if form == "blocks" and item.section and not _BLOCK.fullmatch(item.section):
            wrong.append(("section", item.section))
        if form == "ini" and not _INI_SECTION.fullmatch(item.section):
            wrong.append(("section", item.section))
        if (form == "ini" and not _INI_KEY.fullmatch(item.key)) or (
            form in ("plain", "blocks") and not _PLAIN_KEY.fullmatch(item.key)
        ):
            wrong.append(("key", item.key))
        for field, text in wrong:
            if text.isprintable() and text.strip():  # else the contribution has told it
                yield Finding(
                    rule="C003",
                    contribution=item.label,
                    field=field,
                    message=f"{text!r} cannot be a {field} of a file in {form} format: it would be read as something else.",
                    remedy="Leave out [ ] = : and signs of comments.",
                )
