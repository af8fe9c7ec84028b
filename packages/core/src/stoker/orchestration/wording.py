# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""What people read of actions and of many names: the command's text or one line on what it does; the first names of a list."""

from __future__ import annotations

from collections.abc import Sequence

from stoker.domain.action import (
    Action,
    CommandAction,
    FilesAction,
    KindAction,
    PackagesAction,
    RebootAction,
    ServiceAction,
    WaitForAction,
)
from stoker.domain.secret import Text

_SHOWN = 4096
_NAMES_SHOWN = 10


def listed(words: Sequence[str], between: str = ", ") -> str:
    """The first of many words, and that there are more."""
    return between.join(words[:_NAMES_SHOWN]) + (" and more" if len(words) > _NAMES_SHOWN else "")


def command(action: Action) -> str:
    """What an action does, as history and plans show it; secrets stay gaps."""
    if isinstance(action, CommandAction):
        text = action.run or " ".join([action.script.rpartition(":")[2], *action.arguments])
    elif isinstance(action, KindAction):
        text = f"{action.kind} {shown(action.parameters)}"
    elif isinstance(action, PackagesAction):
        text = _packages(action)
    elif isinstance(action, FilesAction):
        text = "; ".join(f"{item.change} {item.path}" for item in action.files)
    elif isinstance(action, ServiceAction):
        words = [f"{action.name} {action.state}"]
        words += [] if action.enabled is None else ["enabled" if action.enabled else "disabled"]
        words += [action.restart] if action.restart else []
        words += [f"until {action.ready}"] if action.ready else []
        text = ", ".join(words)
    elif isinstance(action, WaitForAction):
        text = f"wait for {action.file}" if action.file else f"wait for {action.host}:{action.port}"
    else:
        text = "reboot"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ..."


def shown(text: Text) -> str:
    """A text with the names of secrets in their places."""
    return text if isinstance(text, str) else "".join(str(piece) for piece in text)


def guard(action: Action) -> str:
    """The guard of an action: ``unless: ...`` or ``creates: ...``, or an empty text."""
    if not isinstance(action, CommandAction | RebootAction | KindAction):
        return ""
    if action.unless:
        return f"unless: {action.unless}"
    return f"creates: {action.creates}" if action.creates else ""


def _packages(action: PackagesAction) -> str:
    parts = [f"{item.name}={item.version}" if item.version else item.name for item in action.install]
    words = [f"install {' '.join(parts)}"] if parts else []
    words += [f"remove {' '.join(action.remove)}"] if action.remove else []
    return "; ".join(words)
