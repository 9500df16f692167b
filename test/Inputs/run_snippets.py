"""Runs the commands in a page's plain code blocks, in order, in a folder; stops at the first that fails."""

import subprocess
import sys

page, folder = sys.argv[1:]
commands, fence = [], None
with open(page, encoding="utf-8") as file:
    for line in file.read().splitlines():
        if line.startswith("```"):
            fence = line if fence is None else None
        elif fence == "```":
            commands.append(line)
for command in commands:
    print("$", command, flush=True)
    subprocess.run(command, shell=True, cwd=folder, check=True)
