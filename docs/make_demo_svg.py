# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""Draws the README's picture from the demo's own output: ``FORCE_COLOR=1 ./dev demo --check | python docs/make_demo_svg.py``.

Progress bars are drawn as they stood last. ``--from TEXT`` and ``--to TEXT`` choose the lines, by what stands in them.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

TARGET = Path(__file__).parent / "_static" / "demo.svg"
MOVES = re.compile(r"(\n|\r|\x1b\[1A|\x1b\[2K|\x1b\[\?25[lh])")
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def settle(output: str) -> list[str]:
    """The lines as a terminal shows them in the end: what was drawn over is gone."""
    rows, at = [""], 0
    for piece in MOVES.split(output):
        if piece == "\n":
            at += 1
            rows.extend([""] * (at + 1 - len(rows)))
        elif piece == "\x1b[1A":
            at = max(0, at - 1)
        elif piece == "\x1b[2K":
            rows[at] = ""
        elif not MOVES.fullmatch(piece):
            rows[at] += piece
    return rows


def choose(rows: list[str], begin: str, end: str) -> list[str]:
    """From the first line that holds ``begin`` to the next that holds ``end``."""
    plain = [COLOURS.sub("", row) for row in rows]
    first = next(number for number, row in enumerate(plain) if begin in row)
    last = next((number for number, row in enumerate(plain) if number >= first and end in row), len(rows)) if end else len(rows)
    return rows[first : last + 1]


def draw(rows: list[str], width: int = 110) -> str:
    """An SVG of a terminal that shows lines, colours included."""
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True)
    for row in rows:
        console.print(Text.from_ansi(row), soft_wrap=False)
    return console.export_svg(title="./dev demo")


def main() -> None:
    """Read the output from standard input and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="begin", default="", help="a text in the first line to show")
    parser.add_argument("--to", dest="end", default="", help="a text in the last line to show")
    given = parser.parse_args()
    text = sys.stdin.buffer.read().decode()  # as it is: reading text would turn the cursor's way back into new lines
    if not text.strip():
        sys.exit("make_demo_svg: nothing on standard input. Pipe the demo's output into it.")
    TARGET.write_text(draw(choose(settle(text), given.begin, given.end)))


if __name__ == "__main__":
    main()
