"""Small colour profiles (ICC.1, version 2), built from numbers so that tests know what they mean."""

import struct

D50 = (0.9642, 1.0, 0.8249)
DISPLAY_P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
"""X, Y, Z under D50 of red, green and blue."""


def matrix_profile(name, colorants, gamma=2.2):
    """A profile of red, green and blue."""
    tags = {b"rXYZ": xyz(colorants[0]), b"gXYZ": xyz(colorants[1]), b"bXYZ": xyz(colorants[2])}
    return profile(name, b"RGB ", b"XYZ ", tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve(gamma)))


def gray_profile(name, gamma):
    return profile(name, b"GRAY", b"XYZ ", {b"kTRC": curve(gamma)})


def ink_profile(name):
    """A profile of four inks, in which every ink is a gray that takes a quarter of the light."""
    header = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + b"".join(fixed(float(n in (0, 4, 8))) for n in range(9))
    steps = bytes(range(256))
    corners = [number.bit_count() for number in range(16)]
    lattice = b"".join(bytes([255 - 63 * inks, 128, 128]) for inks in corners)
    return profile(name, b"CMYK", b"Lab ", {b"A2B0": header + 4 * steps + lattice + 3 * steps}, kind=b"prtr")


def profile(name, space, connection, tags, kind=b"mntr"):
    text = name.encode() + b"\0"
    description = b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(78)
    tags = {b"desc": description, b"wtpt": xyz(D50), b"cprt": b"text" + bytes(4) + b"none\0", **tags}
    place, table, content = 128 + 4 + 12 * len(tags), b"", b""
    for tag, data in tags.items():
        table += tag + struct.pack(">II", place + len(content), len(data))
        content += data + bytes(-len(data) % 4)
    size = place + len(content)
    white = b"".join(fixed(value) for value in D50)
    header = struct.pack(">I", size) + bytes(4) + b"\x02\x40\0\0" + kind + space + connection + bytes(12) + b"acsp"
    header = (header + bytes(28) + white).ljust(128, b"\0")
    return header + struct.pack(">I", len(tags)) + table + content


def xyz(values):
    return b"XYZ " + bytes(4) + b"".join(fixed(value) for value in values)


def curve(gamma):
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))


def fixed(value):
    return struct.pack(">i", round(value * 65536))
