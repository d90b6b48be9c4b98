#!/usr/bin/env python3
"""Reads what `exchange --json` printed and fails unless every step held and every requirement was shown.

usage: exchange --json --data DIR | check_story.py 1            for the first run of DIR
       exchange --json --data DIR | check_story.py 2 FIRST      for the second; FIRST: a file with what the first printed
"""
import json
import sys

REQUIRED = """A1 A2 A3 A4 A5 A6 A7 A8 A9 T1 T2 T3 T4 T5 T6 T7 T8 T9 T11 T12
              L1 L2 L3 L10 L14 L15 L16 L18 L20 L28 E1 E2 E3 E4 E5 E8 E9 E14 X1""".split()
USER, SERVER = "left of the user's lane", "left of the server's lane"
LOST = "lost with vouchers of interrupted runs"


def steps_of(lines):
    steps = []
    for number, line in enumerate(lines, 1):
        try:
            step = json.loads(line)
        except ValueError:
            sys.exit(f"line {number} is not a JSON object: {line!r}")
        missing = {"step", "id", "ok", "what", "detail"} - step.keys()
        if missing:
            sys.exit(f"line {number} lacks {sorted(missing)}: {line!r}")
        if step["ok"] is not True:
            sys.exit(f"step {step['step']} did not hold: {line}")
        if not isinstance(step["detail"], dict):
            sys.exit(f"line {number}: detail is not an object")
        steps.append(step)
    return steps


def details(steps, id, *names):
    """Of the last step for `id` that has all of them."""
    for step in reversed(steps):
        if step["id"] == id and all(name in step["detail"] for name in names):
            return [step["detail"][name] for name in names]
    sys.exit(f"no step for {id} says {' and '.join(names)}")


def demand(holds, what):
    if not holds:
        sys.exit(f"does not hold: {what}")


def kept_pad(steps):
    """The pad that is kept, its value, and what is left of both lanes: at the start of a run, and at its end."""
    start = details(steps, "L18", "identifier", "value", USER, SERVER)
    end = details(steps, "L2", "pad", "value", USER, SERVER)
    return [(pad, int(value), user, server) for pad, value, user, server in (start, end)]


run = int(sys.argv[1])
steps = steps_of(sys.stdin)
shown = {step["id"] for step in steps}
absent = [name for name in REQUIRED if name not in shown]
demand(not absent, f"shown: {' '.join(absent)}")
demand(details(steps, "A1", "resumed") == [run == 2], f"run {run} says whether it goes on")
demand(details(steps, "L1", "bought") == [run == 1], f"run {run} buys a pad only if there is none")
demand(details(steps, "L20", LOST) == ["0"], "nothing is lost")
start, end = kept_pad(steps)
demand(start[0] == end[0], "one pad is kept")
demand(end[1] < start[1] and end[2] < start[2] and end[3] < start[3], "value and both lanes go down")
if run == 2:
    with open(sys.argv[2], encoding="utf-8") as first:
        _, stopped = kept_pad(steps_of(first))
    demand(start[0] == stopped[0], "the pad is the one of the first run")
    demand(start[1] == stopped[1], f"the balance is carried: {stopped[1]}, then {start[1]}")
    demand(start[2] <= stopped[2] and start[3] <= stopped[3], f"the pad goes on beyond {stopped[2:]}: {start[2:]}")
    demand(end[2] < stopped[2] and end[3] < stopped[3], f"the pad goes down from {stopped[2:]}: {end[2:]}")
print(f"run {run}: {len(steps)} steps held, {len(shown)} requirements shown")
