#!/usr/bin/env python3
"""bitmaps.py SAVESEAL IMAGE [STEP]: damages each byte of a small qcow2 image with the good bitmap ck1, and others, that a
bitmap depends on (each STEPth), and asks saveseal and QEMU. What saveseal calls good must be
good for QEMU, too, and what it refuses and QEMU does not is for a reason that docs/verify.md lists."""
import json
import struct
import subprocess
import sys

saveseal, image = sys.argv[1:3]
step = int(sys.argv[3]) if len(sys.argv) > 3 else 1


# Where we are stricter than QEMU, as in docs/verify.md: the words that we use for it.
STRICTER = (
    b"the table of its data", b"its table of reference counts", b"its list of snapshots",  # QEMU reads zeros there
    b"a bitmap's table points to what is not in the file", b"the file ends before",  # and there, too
    b"marked as corrupt",  # it opens that for reading only
)

FLIPS = (0xFF, 0x01, 0x02, 0x04, 0x10, 0x80) if step == 1 else (0xFF, 0x01, 0x04)


def ours(path):
    run = subprocess.run([saveseal, "verify", "--json", "--bitmap", "ck1=vdb", path], capture_output=True, timeout=120)
    return run.returncode, run.stdout + run.stderr


def theirs(path):
    run = subprocess.run(["qemu-img", "info", "-f", "qcow2", "--output=json", path], capture_output=True, timeout=120)
    if run.returncode != 0 or subprocess.run(["qemu-io", "-r", "-f", "qcow2", "-c", "quit", path], capture_output=True,
                                             timeout=120).returncode != 0:  # which loads the tables
        return False
    bitmaps = json.loads(run.stdout).get("format-specific", {}).get("data", {}).get("bitmaps", [])
    return any(b["name"] == "ck1" and "auto" in b["flags"] and "in-use" not in b["flags"] for b in bitmaps)


with open(image, "rb") as file:
    good = file.read()


def extension(data):
    at = struct.unpack_from(">I", data, 100)[0]
    while True:
        kind, length = struct.unpack_from(">II", data, at)
        if kind == 0x23852875:
            return at + 8
        at += 8 + (length + 7) // 8 * 8


at = extension(good)
directory_size, directory = struct.unpack_from(">QQ", good, at + 8)
table = struct.unpack_from(">Q", good, directory)[0]
places = list(range(0, 120, step)) + list(range(at - 8, at + 24, step))
places += list(range(directory, directory + directory_size, step)) + list(range(table, table + 16, step))
wrong, stricter, asked = [], [], 0
for place in sorted(set(places)):
    for flip in FLIPS:
        damaged = bytearray(good)
        damaged[place] ^= flip
        with open(image, "wb") as file:
            file.write(damaged)
        status, said = ours(image)
        fine = theirs(image)
        asked += 1
        encrypted = 32 <= place < 36  # which QEMU opens only with a key
        if status not in (0, 1, 2, 5) or (status == 0 and not fine and not encrypted):
            wrong.append(f"byte {place} ^ {flip:#x}: {status}, qemu-img: {fine}: {said.decode(errors='replace')[:200]}")
        elif status != 0 and fine:
            stricter.append((place, flip))
            if not any(words in said for words in STRICTER):
                wrong.append(f"byte {place} ^ {flip:#x}: refused, and not by QEMU: {said.decode(errors='replace')}")
for length in sorted({0, 1, 71, 103, 104, at, at + 23, directory, directory + 10, table, table + 7, len(good) - 512}):
    with open(image, "wb") as file:
        file.write(good[:length])
    status, said = ours(image)
    if status not in (2, 5):
        wrong.append(f"cut to {length}: {status}: {said.decode(errors='replace')}")
print("\n".join(wrong))
print(f"# {asked} damages, {len(wrong)} wrong, {len(stricter)} refused here and not by qemu-img: {stricter}")
sys.exit(1 if wrong else 0)
