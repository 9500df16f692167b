"""The README's first program is the example file, and its output is what running it prints."""

import subprocess
import sys

readme, example = (open(path, encoding="utf-8").read() for path in sys.argv[1:])
program = example.split("\n", 1)[1]  # after the comment
assert program in readme, "the README's program differs from docs/examples/quadratic.mlir"
command = next(line for line in readme.splitlines() if line.startswith("$ build/bin/gradus run"))
arguments = [sys.argv[2] if a.endswith(".mlir") else a for a in command.split()[2:]]
output = subprocess.run(["gradus", *arguments], capture_output=True, text=True, check=True).stdout
assert command + "\n" + output in readme, "the README's output differs from:\n" + output
