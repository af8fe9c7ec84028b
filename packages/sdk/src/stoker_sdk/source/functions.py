# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Functions: whether what a plugin's contributions call is there, and can be called as its extension point does."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from stoker_sdk.context.arguments import ARGUMENTS
from stoker_sdk.extension_points.records import Collection
from stoker_sdk.extension_points.rest_api import RestApi, RESTAPIPlugin
from stoker_sdk.model.code import CODE
from stoker_sdk.model.contribution import Contribution
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.naming import did_you_mean
from stoker_sdk.plugin import Plugin
from stoker_sdk.source.blame import blame

_BY_NAME: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_ANY: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def check_functions(plugin: Plugin, folder: Path) -> Iterator[Finding]:
    """Look up everything that is called. The plugin's modules are imported: only a process of its own does that.

    Args:
        plugin: as its module has it.
        folder: its folder.
    """
    for item in plugin.contributions:
        for field, reference in references(item):
            if CODE.fullmatch(reference):
                for finding in _check(item, reference, folder):
                    yield msgspec.structs.replace(finding, plugin=plugin.name, contribution=item.label, field=field)


def references(item: Contribution) -> Iterator[tuple[str, str]]:
    """What a contribution calls: the field and what it holds."""
    if isinstance(call := getattr(item, "call", None), str):
        yield "call", call
    if isinstance(item, Collection):
        for index, step in enumerate(item.migrations):
            yield f"migrations[{index}].call", step.call


def _check(item: Contribution, reference: str, folder: Path) -> Iterator[Finding]:
    module, _, name = reference.partition(":")
    names: list[str] = []
    try:
        imported = importlib.import_module(module)
        names = [one for one in dir(imported) if not one.startswith("_")]
        found: object = functools.reduce(getattr, name.split("."), imported)
    except (ModuleNotFoundError, AttributeError) as error:
        meant = did_you_mean(name, names)
        message = f"{reference} is not there: {error}."
        yield Finding(
            rule="X085", message=message, remedy=f"{meant}Write code(FUNCTION), with a function of a module of the plugin."
        )
        return
    except BaseException as error:  # noqa: BLE001  whatever a plugin raises, and be it SystemExit, is told
        yield blame(error, folder, module)
        return
    if isinstance(item, RestApi):
        if (
            not isinstance(found, type)
            or not issubclass(found, RESTAPIPlugin)
            or not callable(getattr(found, "application", None))
        ):
            message = f"{reference} is no application."
            remedy = "Name a class that derives from RESTAPIPlugin, with a WSGI or ASGI callable as 'application'."
            yield Finding(rule="X086", message=message, remedy=remedy)
        return
    yield from _check_function(str(type(item).__struct_config__.tag), reference, found)


def _check_function(point: str, reference: str, function: object) -> Iterator[Finding]:
    if not callable(function) or isinstance(function, type):
        yield Finding(rule="X087", message=f"{reference} is no function.", remedy="Write code(FUNCTION), with a plain function.")
        return
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        remedy = "Write 'def' without 'async', and 'return': workers call it in a thread."
        yield Finding(rule="X087", message=f"{reference} is no plain function.", remedy=remedy)
        return
    given = ARGUMENTS[point]
    for parameter in inspect.signature(function).parameters.values():
        wrong = parameter.kind not in _BY_NAME or parameter.name not in given
        if wrong and parameter.kind not in _ANY and parameter.default is inspect.Parameter.empty:
            yield Finding(
                rule="X088",
                message=f"{reference} wants {parameter.name!r}, which it is not given.",
                remedy=f"{did_you_mean(parameter.name, given)}It can take, by their names: {', '.join(sorted(given))}.",
            )
