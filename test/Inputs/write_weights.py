"""write_weights.py FILE [narrow | WIDTH]: a checkpoint for frozen-narrow.mlir, or for frozen.mlir, which wants a width of 40."""

import json
import struct
import sys

model = sys.argv[2] if len(sys.argv) > 2 else "40"
if model == "narrow":
    tensors = [("up", "BF16", [300, 70]), ("bytes", "I8", [131, 66]), ("taps", "BF16", [3, 3, 32, 20])]
else:
    tensors = [("up", "F32", [300, int(model)]), ("bias", "F32", [40]), ("square", "F32", [40, 40])]
    tensors += [("taps", "F32", [3, 3, 32, 32]), ("steps", "F32", [])]


def packed(dtype, numbers):
    """Numbers from -50 to 50, as hundredths where they are real."""
    if dtype == "I8":
        return struct.pack(f"<{len(numbers)}b", *numbers)
    real = [struct.pack("<f", n / 100) for n in numbers]
    return b"".join(real if dtype == "F32" else (four[2:] for four in real))


header, data = {}, b""
for name, dtype, shape in tensors:
    count = 1
    for size in shape:
        count *= size
    # Numbers of both signs that no shuffling leaves in their places.
    values = packed(dtype, [i * 7919 % 101 - 50 for i in range(count)])
    header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
    data += values
text = json.dumps(header).encode()
with open(sys.argv[1], "wb") as file:
    file.write(struct.pack("<Q", len(text)) + text + data)
