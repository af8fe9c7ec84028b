# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Commands: subcommands of ``stoker`` that the plugin's own application answers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

from stoker_sdk.model.contribution import Contribution, ExtensionPoint
from stoker_sdk.model.finding import Finding
from stoker_sdk.model.naming import NAME


class Parameter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One word or option of a command."""

    name: str
    """Lower case letters, digits and dashes; an option is written ``--NAME``, an argument in its place."""
    kind: Literal["argument", "option", "flag"] = "option"
    type: Literal["text", "integer", "number"] = "text"
    required: bool = False
    multiple: bool = False
    """Whether it may be given several times; its value is then a list."""
    help: str = ""
    choices: Sequence[str] = ()


class Command(Contribution, frozen=True, kw_only=True, tag="commands"):
    """A subcommand ``stoker PLUGIN NAME``; it sends a request to the plugin's application and shows the JSON that comes back.

    A list of objects is shown as a table, an object as lines; with ``--json`` as it is. Every command has ``--env``: with it, the
    environment's version of the plugin answers.
    """

    name: str
    """Lower case letters, digits and dashes, e.g. ``labels``."""
    title: str
    """One line for ``--help``."""
    path: str
    """The path in the application; ``{NAME}`` stands for an argument, e.g. ``/labels/{node}``."""
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    parameters: Sequence[Parameter] = ()
    """Those that are not in the path become the query of GET and DELETE, and the JSON body of the others."""
    columns: Sequence[str] = ()
    """Columns of the table, in this order; empty: all keys."""
    examples: Sequence[str] = ()
    """Lines for ``--help``."""

    @property
    def label(self) -> str:
        """``commands NAME``."""
        return f"commands {self.name}"

    def check(self) -> Iterable[Finding]:
        """Names, title and path; a command is there or not, so it has no condition."""
        for name, field in ((self.name, "name"), *((p.name, f"parameters[{i}].name") for i, p in enumerate(self.parameters))):
            if not NAME.fullmatch(name):
                yield Finding(
                    rule="X070",
                    field=field,
                    message=f"{name[:80]!r} is not a command's name.",
                    remedy="Use lower case letters, digits and dashes.",
                )
        if not self.title.strip():
            yield Finding(rule="X060", field="title", message="There is no title.", remedy="Say in one line what it does.")
        if not _PATH.fullmatch(self.path) or {".", ".."} & {*self.path.split("/")}:
            yield Finding(rule="X010", field="path", message="it is not a plain path.", remedy="Write e.g. /labels/{node}.")
        yield from self._check_parameters()
        if self.when is not None:
            yield Finding(rule="X006", field="when", message="it has no condition.", remedy="Leave 'when' out.")

    def _check_parameters(self) -> Iterable[Finding]:
        """Each place in the path is an argument that is there, and no name is taken."""
        arguments = {item.name for item in self.parameters if item.kind == "argument" and item.required and not item.multiple}
        for name in PLACE.findall(self.path):
            if name not in arguments:
                yield Finding(
                    rule="X071",
                    field="path",
                    message=f"{{{name[:80]}}} is not an argument of the command.",
                    remedy="Add a parameter of this name, of kind argument, required, and not multiple.",
                )
        names = [item.name for item in self.parameters]
        for index, name in enumerate(names):
            if name in TAKEN or name in names[:index]:
                yield Finding(
                    rule="X072",
                    field=f"parameters[{index}].name",
                    message=f"{name!r} is taken: by another parameter, or by what every command has.",
                    remedy="Choose another name.",
                )


PLACE: Final = re.compile(r"\{([^{}]*)\}")
"""Where an argument stands in a path."""
_SEGMENT: Final = r"(?:[A-Za-z0-9._~@:+-]|\{[a-z][a-z0-9-]*\})+"
_PATH: Final = re.compile(rf"/(?:{_SEGMENT}(?:/{_SEGMENT})*/?)?")
"""Nothing that leads out of the application: who runs the command has rights elsewhere."""
TAKEN: Final = frozenset({"env", "json", "help"})
"""Options that every command has."""

POINT = ExtensionPoint(name="commands", combines="slot", contributions=(Command,), scope="server", needs_code=True)
