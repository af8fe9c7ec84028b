# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What a plugin is made of: the one package that a plugin depends on."""

from __future__ import annotations

from stoker_sdk.extension_points.rest_api import RESTAPIPlugin
from stoker_sdk.model.code import code
from stoker_sdk.model.dependency import Dependency
from stoker_sdk.model.expression import Expression, ref
from stoker_sdk.plugin import Plugin

__all__ = ["Dependency", "Expression", "Plugin", "RESTAPIPlugin", "code", "ref"]

__version__ = "0.1.0"
