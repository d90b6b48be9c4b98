#!/usr/bin/env python3
"""Reads what `exchange --json` printed and fails unless every step held and every requirement was shown.

usage: exchange --json --data DIR | check_story.py RUN      (RUN: 1 for the first run of DIR, 2 for the second)
"""
import json
import sys

REQUIRED = """A1 A2 A3 A4 A5 A6 A7 A9 T1 T2 T3 T4 T5 T6 T7 T8 T9 T11 T12
              L1 L2 L3 L10 L14 L15 L16 L18 L20 L28 E1 E2 E3 E4 E5 E8 E9 E14 X1""".split()

run = int(sys.argv[1])
shown, steps, resumed = set(), 0, None
for number, line in enumerate(sys.stdin, 1):
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
    resumed = step["detail"].get("resumed", resumed)
    shown.add(step["id"])
    steps += 1

absent = [name for name in REQUIRED if name not in shown]
if absent:
    sys.exit(f"not shown: {' '.join(absent)}")
if resumed is not (run == 2):
    sys.exit(f"run {run} says resumed = {resumed}")
print(f"run {run}: {steps} steps held, {len(shown)} requirements shown")
