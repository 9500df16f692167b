"""Crashes a gradus that waits for its input, and prints how it ended."""

import signal
import subprocess
import time

process = subprocess.Popen(["gradus", "compile", "-", "--emit=graph"], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
time.sleep(1)
process.send_signal(signal.SIGSEGV)
_, errors = process.communicate()
print("exit code", process.returncode)
print(errors.decode(errors="replace"))
