# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Draws the README's picture from the demo's own output: ``FORCE_COLOR=1 ./dev demo --check | python docs/make_demo_svg.py``."""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

TARGET = Path(__file__).parent / "_static" / "demo.svg"


def draw(output: str, *, width: int = 110, first: int = 1, last: int | None = None) -> str:
    """An SVG of a terminal that shows lines ``first`` to ``last`` of the output, colours included."""
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True)
    for line in output.splitlines()[first - 1 : last]:
        console.print(Text.from_ansi(line), soft_wrap=False)
    return console.export_svg(title="./dev demo")


def main() -> None:
    """Read the output from standard input and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=1, help="first line to show")
    parser.add_argument("--last", type=int, default=None, help="last line to show")
    given = parser.parse_args()
    text = sys.stdin.read()
    if not text.strip():
        sys.exit("make_demo_svg: nothing on standard input. Pipe the demo's output into it.")
    TARGET.write_text(draw(text, first=given.first, last=given.last))


if __name__ == "__main__":
    main()
