"""One contender in a process of its own: reads cases from standard input, one JSON object a line, and answers each.

  worker.py CONTENDER THREADS [DEVICE PRECISION]      of those that train on GPUs: "cuda", and "strict" or "tf32"
  {"do": "prepare", "case": ["train", "mlp"]}         loads it, checks it, warms it up
  {"do": "time", "case": [...], "seconds": 0.5}       {"best": s, "median": s} of one call
  {"do": "first", "case": [...]}                      loads it and calls it once

A contender is a module with `load(case) -> call`; a call runs once and waits. `call.losses(n)`, if there, are the losses
of the first n training steps; `call.result()`, if there, is what the call computed.
"""

import importlib
import json
import os
import sys
import time

contender, threads = sys.argv[1], int(sys.argv[2])
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
# Peers take the kernels that they find best, whatever the shell that this runs in asks for.
for name in [n for n in os.environ if n.startswith(("OPENBLAS_", "MKL_", "DNNL_", "ONEDNN_"))]:
    del os.environ[name]
for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ[library + "_NUM_THREADS"] = str(threads)
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import numpy as np  # noqa: E402  (after the variables that it reads)

import workloads  # noqa: E402

module, _, mode = contender.partition(":")
implementation = importlib.import_module("contenders." + module)
implementation.setup(threads, mode, *sys.argv[3:])
calls = {}


def seconds_of(call, budget):
    """The best and the median time of a call; short ones are timed in runs of about a millisecond."""
    start = time.perf_counter()
    call()
    once = time.perf_counter() - start
    repeats = max(1, int(1e-3 / max(once, 1e-7)))
    times, end = [], time.perf_counter() + budget
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(repeats):
            call()
        times.append((time.perf_counter() - start) / repeats)
    return {"best": min(times), "median": float(np.median(times))}


def prepare(case):
    calls[tuple(case)] = call = implementation.load(case)
    answer = {"version": implementation.version()}
    if case[0] == "matmul":
        a, b, _ = workloads.matrices(case[1])
        call()
        rows = slice(0, None, max(1, a.shape[0] // 64))
        exact = a[rows].astype(np.float64) @ b.astype(np.float64)
        answer["error"] = float(np.abs(np.asarray(call.result())[rows] - exact).max())
    if case[0] == "narrow":
        a, b, _ = (workloads.widened(x) for x in workloads.narrow_matrices(case[1]))
        call()
        rows = slice(0, None, max(1, a.shape[0] // 64))
        exact = a[rows] @ b
        off = np.abs(workloads.widened(np.asarray(call.result()))[rows] - exact).max()
        answer["error"] = float(off / np.abs(exact).max())
    if case[0] == "train":
        answer["losses"] = [float(x) for x in call.losses(10)]
    if case[0] in ("infer", "attention", "conv"):
        call()
        answer["sample"] = np.asarray(call.result()).ravel()[::7][:1000].astype(float).tolist()
    for _ in range(3):
        call()
    return answer


for line in sys.stdin:
    request = json.loads(line)
    case = request["case"]
    try:
        if request["do"] == "prepare":
            answer = prepare(case)
        elif request["do"] == "first":
            implementation.load(case)()
            answer = {}
        elif request["do"] == "drop":
            answer = {"dropped": calls.pop(tuple(case), None) is not None}
        else:
            answer = seconds_of(calls[tuple(case)], request["seconds"])
    except NotImplementedError:
        answer = {"skip": True}
    print(json.dumps(answer), flush=True)
