"""Damages the files of a folder: a byte turned in the first, the second cut off, the third emptied, and so on."""

import os
import sys

for i, name in enumerate(sorted(os.listdir(sys.argv[1]))):
    path = os.path.join(sys.argv[1], name)
    with open(path, "rb") as f:
        data = bytearray(f.read())
    if i % 3 == 0:
        data[len(data) // 2] ^= 1
    with open(path, "wb") as f:
        f.write(data[: [len(data), len(data) // 2, 0][i % 3]])
