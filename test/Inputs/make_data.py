"""Writes small files for the tests: an MNIST-like data set, .npy arrays, damaged ones."""

import gzip
import random
import struct
import sys


def idx(shape, data):
    return struct.pack(">HBB", 0, 8, len(shape)) + b"".join(struct.pack(">I", d) for d in shape) + bytes(data)


def npy(descr, shape, data):
    text = "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }" % (descr, "".join("%d, " % d for d in shape))
    text += " " * (63 - (10 + len(text)) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + data


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


def images(folder):
    """200 + 50 images of 4 x 4 whose brightest row is their label."""
    draw = random.Random(1)
    for prefix, count in (("train", 200), ("t10k", 50)):
        labels = [draw.randrange(4) for _ in range(count)]
        pixels = [draw.randrange(60) + (180 if row == label else 0) for label in labels for row in range(4) for _ in range(4)]
        write(folder + f"/{prefix}-images-idx3-ubyte", idx((count, 4, 4), pixels))
        write(folder + f"/{prefix}-labels-idx1-ubyte.gz", gzip.compress(idx((count,), labels)))


def arrays(folder):
    floats = lambda *xs: struct.pack("<%df" % len(xs), *xs)
    write(folder + "/x.npy", npy("<f4", (2, 3), floats(1, 2, 3, 4, 5, 6)))
    write(folder + "/wrong-shape.npy", npy("<f4", (3, 2), floats(1, 2, 3, 4, 5, 6)))
    write(folder + "/wrong-type.npy", npy("<f8", (2, 3), struct.pack("<6d", *range(6))))
    write(folder + "/nan.npy", npy("<f4", (2, 3), floats(1, 2, 3, 4, float("nan"), 6)))
    write(folder + "/short.npy", npy("<f4", (2, 3), floats(1, 2, 3, 4, 5)))
    write(folder + "/huge.npy", npy("<f4", (1 << 40, 1 << 40), floats(1)))
    write(folder + "/no.npy", b"not an array")


if __name__ == "__main__":
    {"images": images, "arrays": arrays}[sys.argv[1]](sys.argv[2])
