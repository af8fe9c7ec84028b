# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""The formats of configuration files that entries are merged into."""

from __future__ import annotations

from typing import Literal, TypeAlias

FileFormat: TypeAlias = Literal["ini", "yaml", "plain", "blocks"]
"""
- ``ini``: ``[section]`` and ``key = value``.
- ``yaml``: a tree; a section is a dotted path.
- ``plain``: lines ``key value`` without sections.
- ``blocks``: a section is a line as it is written (``listen web``), followed by indented lines ``key value``.
"""
