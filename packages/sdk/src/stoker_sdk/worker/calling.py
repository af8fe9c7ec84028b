# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Calling: finds a plugin's function, gives it the arguments that it wants, and checks what it gives."""

from __future__ import annotations

import functools
import importlib
import inspect
import traceback
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import msgspec

from stoker_sdk.context.present import Context, set_current
from stoker_sdk.model.json_value import JSON
from stoker_sdk.worker.channel import Channel, Line
from stoker_sdk.worker.contracts import CONTEXT, CONTRACTS, Contract, ShapeError, encode
from stoker_sdk.worker.protocol import Call, CallContext, Fault
from stoker_sdk.worker.records import RecordsClient

_LONGEST_TRACEBACK: Final = 16_000
_NAMED: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class CallFailed(Exception):  # noqa: N818  it carries a fault, which is no error of ours
    """A call gave no result."""

    def __init__(self, fault: Fault) -> None:
        """Keep why."""
        self.fault = fault
        super().__init__(fault.message)


class Plugin(msgspec.Struct, frozen=True, kw_only=True):
    """Which plugin this worker is for."""

    name: str
    version: str


def present(plugin: Plugin, about: CallContext, line: Line) -> tuple[Context, Channel]:
    """What the plugin's code is told of a call, and its way back."""
    channel = Channel(line, about.token)
    context = Context(
        plugin=plugin.name,
        version=plugin.version,
        environment=about.environment,
        settings=cast("dict[str, JSON]", about.settings),
        caller=about.caller,
        records=RecordsClient(channel),
        api=channel,
    )
    return context, channel


def carry_out(call: Call, plugin: Plugin, line: Line) -> bytes:
    """Call the function in this thread; gives its result as JSON.

    Raises:
        CallFailed: it is not there, raised, or gave what does not fit.
    """
    function, contract = find(call.function), CONTRACTS.get(call.point)
    if contract is None:
        raise CallFailed(Fault(kind="missing", message=f"this version of the SDK calls nothing for {call.point!r}"))
    context, channel = present(plugin, call.context, line)
    given = _arguments(call, contract, context, channel)
    set_current(context)
    try:
        result = _call(function, given)
    except BaseException as error:
        raise CallFailed(fault_of(error)) from error
    try:
        return encode(contract, result)
    except ShapeError as error:
        raise CallFailed(Fault(kind="shape", message=f"{call.function}: {error}")) from error
    except BaseException as error:
        raise CallFailed(fault_of(error)) from error


def call_with(reference: str, given: Mapping[str, object]) -> object:
    """Call a function with those of the arguments that it wants; raises whatever it raises, or CallFailed: it is not there."""
    return _call(find(reference), given)


def _call(function: Callable[..., object], given: Mapping[str, object]) -> object:
    return function(**{name: value for name, value in given.items() if name in _wanted(function, frozenset(given))})


def fault_of(error: BaseException) -> Fault:
    """What an exception of the plugin's code says."""
    kind: str = type(error).__name__
    try:
        message, told = str(error), "".join(traceback.format_exception(error))
    except BaseException:  # noqa: BLE001  an exception whose text raises
        message, told = "its text cannot be made", ""
    return Fault(kind="raised", message=f"{kind}: {message}"[:2000], traceback=told[-_LONGEST_TRACEBACK:])


def find(reference: str) -> Callable[..., object]:
    """The function or class that a reference names.

    Raises:
        CallFailed: it is not there, or its module cannot be imported.
    """
    try:
        return _find(reference)
    except CallFailed:
        raise
    except BaseException as error:
        raise CallFailed(fault_of(error)) from error


@functools.cache
def _find(reference: str) -> Callable[..., object]:
    module, _, name = reference.partition(":")
    try:
        found: Any = functools.reduce(getattr, name.split("."), importlib.import_module(module))
    except (ModuleNotFoundError, AttributeError) as error:
        fault = msgspec.structs.replace(fault_of(error), kind="missing")
        raise CallFailed(fault) from error
    if not callable(found):
        raise CallFailed(Fault(kind="missing", message=f"{reference} cannot be called"))
    return cast("Callable[..., object]", found)


@functools.lru_cache(1024)
def _wanted(function: Callable[..., object], offered: frozenset[str]) -> frozenset[str]:
    """Which of the arguments a function takes; all, if it takes any name."""
    parameters = inspect.signature(function).parameters.values()
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters):
        return offered
    return frozenset(one.name for one in parameters if one.kind in _NAMED) & offered


def _arguments(call: Call, contract: Contract, context: Context, channel: Channel) -> Mapping[str, object]:
    given: dict[str, object] = {CONTEXT: context}
    try:
        for name, kind in (*contract.arguments.items(), *contract.between.items()):
            if name in call.arguments:
                given[name] = msgspec.json.decode(call.arguments[name], type=kind)
        for name, make in contract.made.items():
            if name in call.arguments:
                given[name] = make(bytes(call.arguments[name]), channel)
    except msgspec.MsgspecError as error:
        raise CallFailed(Fault(kind="missing", message=f"the server's arguments do not fit this SDK: {error}")) from error
    return given
