"""Peers that train the same model on the same device, each in a process of its own, timed in turns with ours.

The processes are those of `./dev bench` (bench/worker.py), in the folder `peers` beside this file. A peer that is not installed, or
fails, is a reason in words instead of a time.
"""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROUNDS = 5


class Peer:
    def __init__(self, name, contender, device, precision):
        self.name, self.why = name, None
        command = [sys.executable, os.path.join(HERE, "peers", "worker.py"), contender]
        command += [str(len(os.sched_getaffinity(0))), device, precision]
        # So that its last words are the reason.
        environment = {**os.environ, "JAX_TRACEBACK_FILTERING": "off"}
        self.errors = tempfile.TemporaryFile("w+")
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors)
        self.process = subprocess.Popen(command, env=environment, text=True, **pipes)

    def ask(self, **request):
        """The answer; none if there is none, and never again."""
        if self.why:
            return None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        line = self.process.stdout.readline()
        if line:
            answer = json.loads(line)
            if "skip" not in answer:
                return answer
            self.why = "it has no such training"
            return None
        self.process.wait()
        self.errors.seek(0)
        self.why = (self.errors.read().strip().splitlines() or ["it ended without a word"])[-1]
        return None

    def close(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.kill()
        self.process.wait()
        self.errors.close()


def compare(measure_ours, case, device):
    """{"best": s, "median": s, "peers": {name: {"best": s, "median": s, "version": ..} or {"why": ..}}}, medians of the rounds'."""
    times, peers = {"ours": []}, {}
    running = [Peer(name, contender, device, case["precision"]) for name, contender in case["peers"].items()]
    try:
        what = ["train", case["trains"]]
        for peer in running:
            peers[peer.name] = peer.ask(do="prepare", case=what) or {}
        for _ in range(ROUNDS):
            times["ours"].append(measure_ours())
            for peer in running:
                if answer := peer.ask(do="time", case=what, seconds=0.3):
                    times.setdefault(peer.name, []).append((answer["best"], answer["median"]))
        for peer in running:
            peers[peer.name] |= {"why": peer.why} if peer.why else summary(times[peer.name])
    finally:
        for peer in running:
            peer.close()
    return {**summary(times["ours"]), "peers": peers}


def summary(rounds):
    return {"best": min(best for best, _ in rounds), "median": statistics.median(median for _, median in rounds)}
