# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Contracts: what the functions of each extension point get and give."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from stoker_sdk.context.values import Event, Object, PlanInput, Problem
from stoker_sdk.model.contribution import Contribution
from stoker_sdk.worker.channel import Channel
from stoker_sdk.worker.jobs import open_job

CONTEXT: Final = "context"
"""The name of the argument that every function may take."""


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """What the functions of one point get, besides the context, and give."""

    arguments: Mapping[str, Any]
    """The type of each argument, by its name."""
    made: Mapping[str, Callable[[bytes, Channel], object]] = {}
    """Arguments that are more than data: made from their JSON and the way back."""
    between: Mapping[str, Any] = {}
    """Arguments of the SDK's own functions, which call the plugin's."""
    result: Any
    """The type of what it gives."""


CONTRACTS: Final[Mapping[str, Contract]] = {
    "serializer_hooks": Contract(arguments={"objects": list[Object]}, result=dict[str, Any]),
    "events": Contract(arguments={"event": Event}, result=None),
    "before_plan": Contract(arguments={"plan": PlanInput}, result=list[Contribution]),
    "validate_settings": Contract(arguments={"settings": dict[str, Any]}, result=list[Problem]),
    "records": Contract(arguments={"documents": dict[str, Any]}, between={"function": str}, result=dict[str, Any]),
    "actions": Contract(arguments={}, made={"job": open_job}, result=Any),
}


class ShapeError(Exception):
    """A function gave what does not fit its contract."""


def encode(contract: Contract, result: object) -> bytes:
    """A function's result as JSON.

    Raises:
        ShapeError: it does not fit the contract, or is no JSON.
    """
    if contract.result is None:
        if result is not None:
            raise ShapeError(f"it gave a {type(result).__name__}; it is to give nothing")
        return b"null"
    try:
        plain = msgspec.to_builtins(_contributions(result) if contract.result == list[Contribution] else result)
        if contract.result != list[Contribution]:
            msgspec.convert(plain, contract.result)
        return msgspec.json.encode(plain)
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
        raise ShapeError(str(error)[:1000]) from error


def _contributions(result: object) -> list[Contribution]:
    """Instances of the SDK's classes, which say what they are when they are written as JSON."""
    if isinstance(result, str) or not hasattr(result, "__iter__"):
        raise ShapeError(f"it gave a {type(result).__name__}; it is to give contributions")
    given = list(result)
    for index, one in enumerate(given):
        if not isinstance(one, Contribution):
            raise ShapeError(f"[{index}] is a {type(one).__name__}, not a contribution")
    return given
