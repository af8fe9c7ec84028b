# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Messages of findings, read from the source by syntax: through variables, parameters, loops and exceptions."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_DEPTH = 6
"""How many steps from a finding to its text are followed."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Scope:
    """A function (or a module) and what its names stand for."""

    module: str
    function: Function | None
    assigned: dict[str, list[ast.expr]] = field(default_factory=dict)
    looped: dict[str, list[tuple[int, ast.expr]]] = field(default_factory=dict)
    """A loop's variable: its place among the loop's variables, and what is looped over."""
    caught: dict[str, list[str]] = field(default_factory=dict)
    """A caught exception's variable: names of its classes."""

    def parameters(self) -> list[str]:
        return parameters(self.function) if self.function is not None else []

    def value(self, name: str, line: int) -> ast.expr | None:
        """What a name was given last before a line."""
        found = [value for value in self.assigned.get(name, []) if value.lineno <= line]
        return max(found, key=lambda value: value.lineno) if found else None

    def loop(self, name: str, line: int) -> tuple[int, ast.expr] | None:
        """The loop whose variable a name is in a line, unless it was given something else since."""
        found = [loop for loop in self.looped.get(name, []) if loop[1].lineno <= line]
        last = max(found, key=lambda loop: loop[1].lineno) if found else None
        value = self.value(name, line)
        return last if last is not None and (value is None or value.lineno < last[1].lineno) else None


@dataclass
class Source:
    """All modules that were read."""

    scopes: list[Scope] = field(default_factory=list)
    calls: list[tuple[Scope, ast.Call]] = field(default_factory=list)
    functions: dict[str, list[tuple[Scope, Function]]] = field(default_factory=dict)
    """By name; a class stands for its ``__init__``."""

    def add(self, module: str, tree: ast.Module) -> None:
        self._visit(tree, Scope(module, None))

    def _visit(self, node: ast.AST, scope: Scope) -> None:
        for child in ast.iter_child_nodes(node):
            inner = scope
            if isinstance(child, Function):
                inner = Scope(scope.module, child)
                self.functions.setdefault(child.name, []).append((inner, child))
            elif isinstance(child, ast.ClassDef):
                for item in child.body:
                    if isinstance(item, ast.FunctionDef) and item.name == "__init__":
                        self.functions.setdefault(child.name, []).append((Scope(scope.module, item), item))
            elif isinstance(child, ast.Call):
                self.calls.append((scope, child))
            note(child, inner)
            self._visit(child, inner)

    def callee(self, scope: Scope, call: ast.Call) -> Function | None:
        """The function that is called, as far as its name tells: one of the same module, or one that takes a message."""
        found = self.functions.get(name_of(call.func), [])
        here = [function for other, function in found if other.module == scope.module]
        telling = [function for _, function in found if {"message", "reason"} & set(parameters(function))]
        candidates = here or telling or [function for _, function in found]
        return candidates[0] if candidates else None

    def callers(self, scope: Scope) -> Iterator[tuple[Scope, ast.Call]]:
        """Every call of a scope's function; of a private one only those in its module."""
        assert scope.function is not None
        name = scope.function.name
        for other, call in self.calls:
            if name_of(call.func) == name and (other.module == scope.module or not name.startswith("_")):
                yield other, call

    def pairs(self, scope: Scope, message: ast.expr | None, remedy: ast.expr | None, depth: int = 0) -> Iterator[tuple[str, str]]:
        """Every text that a message and its remedy can be, in pairs."""
        if depth > _DEPTH:
            return
        names = [name for part in (message, remedy) for name in [sole_name(part)] if isinstance(name, ast.Name)]
        given = [name.id for name in names if name.id in scope.parameters() and scope.value(name.id, name.lineno) is None]
        loops = {name.id: loop for name in names if (loop := scope.loop(name.id, name.lineno)) is not None}
        if given:
            for other, call in self.callers(scope):
                bound = bind(scope.function, call)
                yield from self.pairs(other, self.swap(scope, message, bound), self.swap(scope, remedy, bound), depth + 1)
        elif loops:
            iterable = next(iter(loops.values()))[1]
            for other, values in self.yields(scope, iterable):
                bound = {name: values[place] for name, (place, _) in loops.items() if place < len(values)}
                yield from self.pairs(other, self.swap(scope, message, bound), self.swap(scope, remedy, bound), depth + 1)
        else:
            messages, remedies = self.texts(scope, message, depth), self.texts(scope, remedy, depth)
            for index, text in enumerate(messages or [""]):
                yield text, remedies[index if len(remedies) == len(messages) else 0] if remedies else ""

    def swap(self, scope: Scope, node: ast.expr | None, bound: dict[str, ast.expr]) -> ast.expr | None:
        """The expression with the value of its one name, if that is bound; else the text that it has here."""
        name = sole_name(node)
        if not isinstance(name, ast.Name) or name.id not in bound:
            texts = self.texts(scope, node)
            return ast.Constant(texts[0]) if texts else None
        value = bound[name.id]
        before, after = around(node)
        if isinstance(value, ast.JoinedStr):
            return ast.JoinedStr([ast.Constant(before), *value.values, ast.Constant(after)])
        if isinstance(value, ast.Constant):
            return ast.Constant(f"{before}{value.value}{after}")
        return (
            ast.JoinedStr([ast.Constant(before), ast.FormattedValue(value, -1), ast.Constant(after)])
            if before or after
            else value
        )

    def texts(self, scope: Scope, node: ast.expr | None, depth: int = 0) -> list[str]:
        """Every text that an expression can be, as far as it can be told."""
        if depth > _DEPTH or node is None:
            return []
        if isinstance(node, ast.IfExp):
            return self.texts(scope, node.body, depth + 1) + self.texts(scope, node.orelse, depth + 1)
        name = sole_name(node)
        if name is None:
            return [text] if (text := text_of(node)) else []
        if isinstance(name, ast.Attribute):
            inner = self._of_exception(scope, name, depth)
        else:
            inner = self.texts(scope, scope.value(name.id, name.lineno), depth + 1)
        before, after = around(node)
        return [f"{before}{text}{after}" for text in inner] or ([text] if (text := text_of(node)) else [])

    def _of_exception(self, scope: Scope, node: ast.Attribute, depth: int) -> list[str]:
        """What an attribute of a caught exception holds: what it was made with."""
        assert isinstance(node.value, ast.Name)
        found = []
        for kind in scope.caught.get(node.value.id, []):
            for other, call in self.calls:
                if name_of(call.func) == kind and other.module == scope.module:
                    function = self.callee(other, call)
                    bound = bind(function, call) if function is not None else {}
                    found += self.texts(other, bound.get(node.attr), depth + 1)
        return found

    def yields(self, scope: Scope, iterable: ast.expr) -> Iterator[tuple[Scope, list[ast.expr]]]:
        """The tuples that are looped over: those written out, and those that a generator gives or hands through."""
        wanted: list[str] = []
        waiting = [iterable]
        while waiting:
            value = waiting.pop()
            if isinstance(value, ast.Name):
                waiting += scope.assigned.get(value.id, [])
            elif isinstance(value, ast.BoolOp):
                waiting += value.values
            elif isinstance(value, ast.List | ast.Tuple):
                yield from ((scope, members) for item in value.elts if (members := members_of(item)))
            elif isinstance(value, ast.Call) and name_of(value.func) in ("list", "sorted", "set", "tuple"):
                waiting += value.args
            elif isinstance(value, ast.Call):
                wanted.append(name_of(value.func))
        yield from self._generated(scope.module, wanted)

    def _generated(self, module: str, wanted: list[str]) -> Iterator[tuple[Scope, list[ast.expr]]]:
        waiting = [(module, name) for name in wanted]
        seen: set[tuple[str, str]] = set()
        while waiting:
            room, name = waiting.pop()
            if (room, name) in seen:
                continue
            seen.add((room, name))
            for inner, function in self.functions.get(name, []):
                if name.startswith("_") and inner.module != room:
                    continue
                for node in ast.walk(function):
                    if isinstance(node, ast.Yield) and node.value is not None and (members := members_of(node.value)):
                        yield inner, members
                    elif isinstance(node, ast.YieldFrom) and isinstance(node.value, ast.Call):
                        waiting.append((inner.module, name_of(node.value.func)))


def note(node: ast.AST, scope: Scope) -> None:
    """Remember what a statement binds."""
    if isinstance(node, ast.Assign):
        for target in node.targets:
            if isinstance(target, ast.Name):
                scope.assigned.setdefault(target.id, []).append(node.value)
            elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                for one, value in zip(target.elts, node.value.elts, strict=False):
                    if isinstance(one, ast.Name):
                        scope.assigned.setdefault(one.id, []).append(value)
    elif isinstance(node, ast.For | ast.comprehension):
        targets = node.target.elts if isinstance(node.target, ast.Tuple) else [node.target]
        for place, target in enumerate(targets):
            if isinstance(target, ast.Name):
                scope.looped.setdefault(target.id, []).append((place, node.iter))
    elif isinstance(node, ast.ExceptHandler) and node.name is not None and node.type is not None:
        kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        scope.caught.setdefault(node.name, []).extend(name_of(kind) for kind in kinds)


def members_of(node: ast.expr) -> list[ast.expr]:
    """The members of a tuple, or of what is made like one: ``Fault(place, message, remedy)``."""
    if isinstance(node, ast.Tuple):
        return node.elts
    named = isinstance(node, ast.Call) and not node.keywords and name_of(node.func)[:1].isupper()
    return list(node.args) if named else []


def parameters(function: Function) -> list[str]:
    """A function's parameters without ``self``."""
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]
    return names[1:] if names[:1] in (["self"], ["cls"]) else names


def bind(function: Function, call: ast.Call) -> dict[str, ast.expr]:
    """What a call gives to each parameter."""
    bound = dict(zip(parameters(function), call.args, strict=False))
    return {**bound, **{keyword.arg: keyword.value for keyword in call.keywords if keyword.arg is not None}}


def name_of(node: ast.expr) -> str:
    """The last part of a dotted name."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def sole_name(node: ast.expr | None) -> ast.Name | ast.Attribute | None:
    """The name whose value an expression is, apart from a full stop or the like: ``message``, ``f"{message}."``."""
    if isinstance(node, ast.JoinedStr):
        values = [part.value for part in node.values if isinstance(part, ast.FormattedValue)]
        words = "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
        telling = [value for value in values if isinstance(value, ast.Name) and value.id in ("message", "reason")]
        return sole_name(values[0]) if len(values) == 1 and not re.search(r"\w", words) else next(iter(telling), None)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return node
    return node if isinstance(node, ast.Name) else None


def around(node: ast.expr) -> tuple[str, str]:
    """What stands before and after the one name of an f-string."""
    parts = node.values if isinstance(node, ast.JoinedStr) else []
    name = sole_name(node)
    place = next((index for index, part in enumerate(parts) if isinstance(part, ast.FormattedValue) and part.value is name), 0)
    return text_of(ast.JoinedStr(parts[:place])), text_of(ast.JoinedStr(parts[place + 1 :]))


def text_of(node: ast.AST | None) -> str:
    """A text as a person may read it: what is filled in stands in angle quotes."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return text_of(node.left) + text_of(node.right)
    if isinstance(node, ast.JoinedStr):
        parts = []
        for part in node.values:
            if isinstance(part, ast.Constant):
                parts.append(str(part.value))
            elif isinstance(part, ast.FormattedValue):
                parts.append(_filled(part.value))
        return "".join(parts)
    return ""


def _filled(value: ast.expr) -> str:
    """The name of what is filled in; a suggestion is not worth a mention."""
    if isinstance(value, ast.Call) and name_of(value.func) == "did_you_mean":
        return ""
    if isinstance(value, ast.Call) and name_of(value.func) == "join" and value.args:
        words = [
            word for word in re.findall(r"[A-Za-z_]\w*", ast.unparse(value.args[0])) if word not in ("sorted", "list", "set")
        ]
        return f"«{words[0] if words else '...'}»"
    return "«" + re.sub(r"^.*\.", "", ast.unparse(value).split("(")[0].split("[")[0]) + "»"
