# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""A plan at a terminal: what goes, what comes back, and what a task does this time."""

from __future__ import annotations

from rich.console import Console
from stoker.cli import plan_view

PLAN = {"id": "p", "environment": "lab", "counts": {}}


def told(files=(), packages=(), tasks=()):
    console = Console(width=1000, no_color=True)
    with console.capture() as capture:
        console.print(plan_view.render_plan(PLAN, files, packages, tasks))
    return capture.get()


def file(path, status, task="mail.files"):
    return {"node": "n1", "path": path, "status": status, "task": task, "plugins": ["mail"]}


def task(name, kind, text, reason="inputs"):
    return {"node": "n1", "task": name, "kind": kind, "reason": reason, "text": text}


def test_a_file_of_the_plugin_is_removed_and_an_original_is_put_back():
    files = [file("/etc/own", "remove"), file("/etc/motd", "restore")]
    said = told(files, tasks=[task("mail.files", "files", "restore /etc/own; restore /etc/motd", "remove")])
    assert "        remove /etc/own; put back /etc/motd\n" in said
    assert "- /etc/own  on n1  (removed, mail)" in said
    assert "- /etc/motd  on n1  (the original is put back, mail)" in said
    assert "Plan: 1 file to remove, 1 file to put back" in said


def test_a_task_tells_only_the_files_that_it_writes_this_time():
    files = [file("/etc/b", "change"), file("/etc/c", "same"), file("/etc/d", "change", "other.files")]
    said = told(files, tasks=[task("mail.files", "files", "write /etc/a; write /etc/b; write /etc/c; directory /etc/d")])
    assert "        write /etc/b\n" in said
    assert "write /etc/a" not in said


def test_a_task_tells_only_the_packages_that_it_installs_this_time():
    packages = [{"node": "n1", "name": name, "status": status} for name, status in (("a", "same"), ("b", "install"))]
    said = told(packages=packages, tasks=[task("mail.packages", "packages", "install a=1 b=2; remove c")])
    assert "        install b=2\n" in said


def test_a_task_of_which_nothing_is_known_tells_its_whole_text():
    assert "write /etc/a; write /etc/b" in told(tasks=[task("mail.files", "files", "write /etc/a; write /etc/b")])


def test_checks_are_counted_apart_from_tasks():
    said = told(tasks=[task("mail.step", "shell", "true"), task("mail.check", "check", "true", "check")])
    assert "Plan: 1 task on 1 node; 1 check" in said


def test_a_patched_task_names_field_value_and_plugins():
    patches = [
        {"task": "mail.step", "field": "run", "value": "one\ntwo", "plugins": ["a", "b"]},
        {"task": "mail.other", "field": "skip", "value": "skipped", "plugins": ["a"]},
    ]
    console = Console(width=1000, no_color=True)
    with console.capture() as capture:
        console.print(plan_view.render_plan(PLAN, (), (), [task("mail.step", "shell", "true")], patches))
    assert "~ mail.step  run: one ...  (by a, b)\n" in capture.get()
    assert "~ mail.other  skipped  (by a)\n" in capture.get()
