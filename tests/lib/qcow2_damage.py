#!/usr/bin/env python3
"""qcow2_damage.py whole SAVESEAL DIRECTORY: images of all kinds as QEMU leaves them; all have to be complete.

qcow2_damage.py damage SAVESEAL DIRECTORY [STEP]: damages each field and table of small images, and cuts them; each
STEPth of that. Compares with qemu-img check, and with a read of the whole disk: what is called complete has to be good
for both, what qemu-img calls corrupt has to be damaged, and what it calls clean may be damaged only for a reason that
docs/verify.md lists."""
import concurrent.futures
import json
import os
import struct
import subprocess
import sys
import threading

import qcow2_images
from qcow2_images import Places

# Where we are stricter than qemu-img check, as in docs/verify.md: the words that we use for it.
STRICTER = (
    "not in the file", "the file ends before", "ends inside its header",  # tables that are cut: QEMU reads zeros
    "as two things at once",  # it only counts
    "marked it so", "not up to date",  # it looks at the marks only when it writes
    "bytes long", "is in its header",  # the header: what it does not use, it does not look at
    "came with version 3", "bits that have no meaning", "elsewhere in the data file",  # it refuses to read that
)

saveseal = None


def ours(path):
    run = subprocess.run([saveseal, "verify", "--deep", "--json", path], capture_output=True, text=True, timeout=120)
    answer = json.loads(run.stdout.splitlines()[0])
    return run.returncode, answer["finding"], answer.get("detail", "")


def qemu(*words):
    return subprocess.run(words, capture_output=True, text=True, timeout=120)


def checked(image, path):
    """The exit status of qemu-img check: 0 clean, 2 corrupt, 3 leaks, 1 no image; and how much data is compressed."""
    run = qemu("qemu-img", "check", "--output=json", *image.source(path))
    return run.returncode, json.loads(run.stdout).get("compressed-clusters", 0) if run.stdout.startswith("{") else 0


def readable(image, path):
    with open(path, "rb") as file:
        size = struct.unpack(">Q", file.read(32)[24:])[0] // 512 * 512
    words = image.source(path)
    return qemu("qemu-io", "-r", *words[:-1], "-c", f"read 0 {size}", words[-1]).returncode == 0


def judge(image, path, what):
    """Returns what is wrong about our answer, or None; and whether it was stricter."""
    status, finding, detail = ours(path)
    said, compressed = checked(image, path)
    text = f"{os.path.basename(image.path)}: {what}: {status} {finding} {detail!r}, qemu-img check: {said}"
    if status not in (0, 1, 4):
        return text, False
    if status == 0 and said == 1 and what.startswith(
            ("encryption ", "luks-len ", "extension-" if image.path.endswith("d-data") else "encryption ")):
        return None, False  # there QEMU needs a key, or the right one, or another file, to look any further
    # Neither looks into compressed data.
    if status == 0 and (said not in (0, 3) or (compressed == 0 and not readable(image, path))):
        return text + ", and called complete", False
    if said == 2 and status != 1:
        return text + ", and not called damaged", False
    stricter = status == 1 and said in (0, 3)
    if stricter and not any(words in detail for words in STRICTER):
        return text + ", and called damaged", False
    return None, stricter


def values(name, width, value, places, end):
    """What to put in the place of a field's value."""
    top = (1 << 8 * width) - 1
    yield from (0, 1, value + 1, value - 1, value ^ 1 << 8 * width - 1, top, value ^ 2, value ^ 4)
    if width == 8:
        flags = value & ~qcow2_images.OFFSET
        yield from (value ^ qcow2_images.COPIED, value ^ 1 << 62, value ^ 1 << 57, value ^ 0x100, value + 512)
        if "subclusters" in name:
            yield from (value | 3, value | 3 << 32 | 3, value << 32)
        last = (end - 1) // places.cluster * places.cluster
        for base in {*places.bases.values(), last, last + places.cluster, last + 64 * places.cluster, 1 << 50}:
            yield flags | base


def damages(data, places):
    """Yields (what, the length to cut to, and what to write into the rest as a list of (offset, bytes))."""
    end, cluster = len(data), places.cluster
    for name, at, width in places.fields:
        value = int.from_bytes(data[at:at + width], "big")
        for new in dict.fromkeys(values(name, width, value, places, end)):
            new &= (1 << 8 * width) - 1
            if new != value and not (name == "virtual-size" and new > 1 << 32):  # QEMU would read for long
                yield f"{name} at {at} is {new:#x}", end, [(at, new.to_bytes(width, "big"))]
    width = max(1, (1 << places.order) // 8)
    for number in range(-(-end // cluster)):
        at = places.counts + (number << places.order) // 8
        if at + width > min(end, places.counts + cluster):
            break
        value = int.from_bytes(data[at:at + width], "big")
        for flip in (1 << (number << places.order) % 8, 2, 1 << 8 * width - 1):
            yield f"the count of cluster {number} ^ {flip:#x}", end, [(at, (value ^ flip).to_bytes(width, "big"))]
    cuts = {0, 7, 8, 71, 72, 103, 104, 111, 112, end - 1, end - 511, end - 512, end - 513}
    for base in [*places.bases.values(), *range(cluster, end, cluster)]:
        cuts |= {base, base + 1, base + 8, base + cluster - 1, base + cluster}
    for cut in sorted(cut for cut in cuts if 0 <= cut < end):
        yield f"cut to {cut} of {end}", cut, []
    keys = places.bases.get("luks", 0)  # encrypted keys, of which only the first cluster can be looked at
    keys = range(keys + 1, keys + places.luks)
    for one in range(0, end, cluster):  # what is lost when a disk gives zeros, or another sector
        other = one + cluster
        if one not in keys:
            yield f"zeros at {one}", end, [(one, bytes(min(cluster, end - one)))]
            if other + cluster <= end and other not in keys:
                yield f"swapped at {one}", end, [(one, data[other:other + cluster] + data[one:other])]


def check_whole(directory):
    wrong = []
    for image in qcow2_images.whole(directory):
        status, finding, detail = ours(image.path)
        quick = subprocess.run([saveseal, "verify", image.path], capture_output=True, timeout=120).returncode
        if (status, finding) != (0, "complete") or quick != 4 or checked(image, image.path)[0] != 0:
            wrong.append(f"{image.path}: {status} {finding} {detail}; not deep: {quick}")
    return wrong


def check_damages(directory, step):
    wrong, counts, place = [], {"damages": 0, "stricter": 0}, threading.local()

    def one(image, data, damage):
        what, length, patches = damage
        if not hasattr(place, "path"):
            place.path = os.path.join(directory, f"damaged-{threading.get_ident()}")
        with open(place.path, "wb") as file:
            file.write(data[:length])
            for at, patch in patches:
                file.seek(at)
                file.write(patch)
        return judge(image, place.path, what)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for image in qcow2_images.to_damage(directory):
            with open(image.path, "rb") as file:
                data = file.read()
            chosen = list(damages(data, Places(data)))[::step]
            for text, stricter in pool.map(one, *zip(*((image, data, damage) for damage in chosen))):
                counts["damages"] += 1
                counts["stricter"] += stricter
                wrong += [text] if text else []
    print(f"# {counts['damages']} damages, {counts['stricter']} refused here and not by qemu-img check, {len(wrong)} wrong")
    if counts["damages"] < 20:
        wrong.append("hardly any damage was tried")
    return wrong


def main():
    global saveseal
    mode, saveseal, directory = sys.argv[1:4]
    wrong = check_whole(directory) if mode == "whole" else check_damages(directory, int((sys.argv[4:] or ["1"])[0]))
    print("\n".join(wrong))
    return 1 if wrong else 0


sys.exit(main())
