# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Blame: an exception from a plugin's module becomes one finding with the plugin's own file and line."""

from __future__ import annotations

import ast
import builtins
import inspect
import pkgutil
import re
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import FrameType, ModuleType
from typing import Final, NamedTuple

from stoker_sdk.model.finding import Finding
from stoker_sdk.model.naming import did_you_mean

_KEYWORD = re.compile(r"[Uu]nexpected keyword argument '(\w+)'")
_FROM = re.compile(r"cannot import name '(\w+)' from '([\w.]+)'")
_MESSAGE: Final = 400
"""Longest text of an exception that is shown, in characters."""


class _Place(NamedTuple):
    """Where in the plugin it happened."""

    file: str
    line: int
    frame: FrameType | None


def blame(error: BaseException, folder: Path, target: str) -> Finding:
    """The finding for an exception.

    Args:
        error: what the import raised.
        folder: the plugin's folder; only its files are named.
        target: the entry point, ``module:attribute``.
    """
    place = _place(error, folder.resolve())
    remedy = f"{_suggestion(error, place)}{_remedy(error, place, target)}"
    if place is None:
        place = _entry_point(folder, target)
    exception, what = type(error).__name__, _text(error)
    message = f"{exception}: {what}." if what else f"{exception}."
    return Finding(rule="L014", file=place.file, line=place.line, message=message, remedy=remedy)


def _text(error: BaseException) -> str:
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    if isinstance(error, ImportError) and error.path:
        text = text.removesuffix(f" ({error.path})")  # where the SDK is installed helps nobody
    text = " ".join(text.split()).rstrip(".")
    return text[:_MESSAGE]


def _place(error: BaseException, root: Path) -> _Place | None:
    """The innermost place inside the folder."""
    if isinstance(error, SyntaxError) and error.filename is not None:
        file = _inside(error.filename, root)
        if file is not None:
            return _Place(file, error.lineno or 0, None)
    found = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        file = _inside(frame.f_code.co_filename, root)
        if file is not None:
            found = _Place(file, line, frame)
    return found


def _inside(name: str, root: Path) -> str | None:
    path = Path(name).resolve()
    own = path.is_relative_to(root) and "site-packages" not in path.parts
    return path.relative_to(root).as_posix() if own else None


def _entry_point(folder: Path, target: str) -> _Place:
    """The line of ``pyproject.toml`` that names the plugin: nothing of the plugin itself was reached."""
    lines = (folder / "pyproject.toml").read_text().splitlines()
    return _Place("pyproject.toml", next((number for number, line in enumerate(lines, 1) if target in line), 0), None)


def _remedy(error: BaseException, place: _Place | None, target: str) -> str:
    module, _, attribute = target.partition(":")
    if isinstance(error, SystemExit):
        return "Do no work on import: a plugin's module says what there is, and ends."
    if isinstance(error, ModuleNotFoundError):
        if place is None:
            return f"Put the module {module} below src/ or into the folder, or correct the entry point."
        return "Correct the name; or name its distribution in [project] dependencies, and install it."
    if place is None and isinstance(error, AttributeError):
        return f"Write '{attribute} = Plugin(...)' in {module}, or correct the entry point."
    if place is None and isinstance(error, TypeError):
        return f"Let {attribute} be a Plugin, or correct the entry point."
    return "Mend this line." if place is not None else "Mend the plugin's module."


def _suggestion(error: BaseException, place: _Place | None) -> str:
    """The name that was meant, where names are known."""
    text = str(error)
    if isinstance(error, ModuleNotFoundError):
        parent, _, name = (error.name or "").rpartition(".")
        return did_you_mean(name, _names(sys.modules.get(parent))) if parent else ""
    if isinstance(error, ImportError):
        match = _FROM.search(text)
        return did_you_mean(match[1], _names(sys.modules.get(match[2]))) if match else ""
    if isinstance(error, AttributeError):
        return did_you_mean(error.name, _names(error.obj)) if error.name else ""
    if isinstance(error, NameError):
        frame = place.frame if place is not None else None
        return did_you_mean(error.name, {*vars(builtins), *(frame.f_globals if frame else {})}) if error.name else ""
    if isinstance(error, TypeError) and place is not None and (match := _KEYWORD.search(text)):
        return _keyword(match[1], place)
    return ""


def _names(thing: object) -> list[str]:
    """What can be reached in a thing; modules of a package count though nobody has imported them yet."""
    names = [name for name in dir(thing) if not name.startswith("_")]
    if isinstance(thing, ModuleType) and hasattr(thing, "__path__"):
        names += [module.name for module in pkgutil.iter_modules(thing.__path__)]
    return names


def _keyword(name: str, place: _Place) -> str:
    """The parameter that was meant, and all that there are: the exception itself does not say of what."""
    known = {parameter for called in _called_with(name, place) for parameter in _parameters(called)}
    return f"{did_you_mean(name, known)}There are: {', '.join(sorted(known))}. " if known else ""


def _called_with(name: str, place: _Place) -> Iterable[object]:
    """What is called with this keyword on the line of a frame."""
    if place.frame is None:
        return
    try:
        tree = ast.parse(Path(place.frame.f_code.co_filename).read_text())
    except (OSError, SyntaxError, UnicodeDecodeError):
        return
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.lineno <= place.line <= (node.end_lineno or node.lineno):
            continue
        if any(keyword.arg == name for keyword in node.keywords):
            thing = _look_up(node.func, place.frame)
            if thing is not None:
                yield thing


def _look_up(node: ast.expr, frame: FrameType) -> object | None:
    """What a dotted name means in a frame; nothing is called."""
    if isinstance(node, ast.Name):
        return frame.f_locals.get(node.id, frame.f_globals.get(node.id))
    if isinstance(node, ast.Attribute):
        parent = _look_up(node.value, frame)
        return inspect.getattr_static(parent, node.attr, None) if parent is not None else None
    return None


def _parameters(called: object) -> Iterable[str]:
    if isinstance(called, classmethod | staticmethod):
        called = called.__func__
    try:
        signature = inspect.signature(called) if callable(called) else None
    except (TypeError, ValueError):
        return
    for parameter in signature.parameters.values() if signature is not None else ():
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY) and parameter.name not in ("self", "cls"):
            yield parameter.name
