"""write_weights.py FILE [WIDTH]: a checkpoint for frozen.mlir, which wants a width of 40."""

import json
import struct
import sys

width = int(sys.argv[2]) if len(sys.argv) > 2 else 40
header, data = {}, b""
for name, shape in (("up", [300, width]), ("bias", [40]), ("square", [40, 40]), ("taps", [3, 3, 32, 32]), ("steps", [])):
    count = 1
    for size in shape:
        count *= size
    # Numbers of both signs that no shuffling leaves in their places.
    values = struct.pack(f"<{count}f", *((i * 7919 % 101 - 50) / 100 for i in range(count)))
    header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
    data += values
text = json.dumps(header).encode()
with open(sys.argv[1], "wb") as file:
    file.write(struct.pack("<Q", len(text)) + text + data)
