"""Stands in for a peer's process (bench/worker.py): one that takes a second a step, or is not there."""

import json
import sys

contender, _, device, precision = sys.argv[1:]
if contender != "p:fast" or precision != "strict":
    sys.exit(f"no peer {contender} on {device}")
for line in sys.stdin:
    answer = {"prepare": {"version": "1"}, "time": {"best": 0.5, "median": 1.0}}[json.loads(line)["do"]]
    print(json.dumps(answer), flush=True)
