# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.chaos [--rounds N] [--seed S] [--simulated] [--log FILE]``: exit status 1 if a promise was broken."""

import argparse
import sys
import time
from pathlib import Path


def parse():
    parser = argparse.ArgumentParser(
        prog="./dev chaos", description="Kill the server and reboot nodes in the middle of deployments."
    )
    parser.add_argument("--rounds", type=int, default=20, help="how many kills (20)")
    parser.add_argument("--seed", type=int, default=1, help="which random moments (1)")
    parser.add_argument("--simulated", action="store_true", help="on modelled nodes: needs neither root nor Linux")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite", help="where the server keeps its state")
    parser.add_argument("--processes", type=int, default=1, help="API processes; more than one are killed, too (1)")
    parser.add_argument("--log", type=Path, help="also write everything to this file")
    return parser.parse_args()


def main():
    options = parse()
    log = options.log.open("w") if options.log else None
    began = time.monotonic()

    def say(text):
        line = f"{time.monotonic() - began:7.1f} s  {text}"
        print(line, flush=True)
        if log:
            print(line, file=log, flush=True)

    try:
        if options.simulated:
            from tests.chaos import simulated

            return simulated.main(options.rounds, options.seed, say)
        return on_lab(options, say)
    finally:
        if log:
            log.close()


def on_lab(options, say):
    from tests.chaos import lab

    surroundings = {"database": options.database, "processes": options.processes}
    say(f"chaos on lab nodes: {options.rounds} kills, seed {options.seed}, {options.database}, {options.processes} API processes")
    found = lab.Chaos(options.rounds, options.seed, say, **surroundings).run()
    say(f"{'KILL':<6}{'AIM':<10}{'HIT':<12}ATTEMPT")
    for kill in found.kills:
        say(f"{kill.number + 1:<6}{kill.aim:<10}{kill.seen:<12}{kill.attempt}")
    say(f"{'REBOOT':<8}{'IDEMPOTENT':<12}{'UNKNOWN':<9}{'STATE':<10}ATTEMPT")
    for node, attempt, idempotent, unknown, state in found.reboots:
        say(f"{node:<8}{idempotent!s:<12}{unknown:<9}{state:<10}{attempt}")
    hits = [kill.seen for kill in found.kills]
    say(f"{len(hits)} kills: {hits.count('running')} while a command ran, {hits.count('between')} between its end and the commit")
    for what in sorted({what for what, _ in found.others}):
        seconds = [taken for name, taken in found.others if name == what]
        say(f"{len(seconds)} kills of {what}, back after {max(seconds):.1f} s at the latest")
    broken = lab.verdict(found, options.rounds, **surroundings)
    for text in broken:
        say(f"BROKEN: {text}")
    say(
        "no attempt started twice, no finished task repeated, each unknown reported"
        if not broken
        else f"{len(broken)} violations"
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
