"""at_once.py N COMMAND...: runs a command N times at once; fails if one of them does."""

import subprocess
import sys

running = [subprocess.Popen(sys.argv[2:]) for _ in range(int(sys.argv[1]))]
sys.exit(any([p.wait() for p in running]))
