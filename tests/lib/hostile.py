#!/usr/bin/env python3
"""hostile.py SAVESEAL PEAK WORK KIB: small files that ask for much. What saveseal says of them, and that it takes no more
than KIB of memory for it (0: it is not looked at), also for all of them beside each other."""
import gzip
import lzma
import os
import struct
import subprocess
import sys
import time
import zlib

import dumps_make as make
import saveimage_parts as parts

saveseal, peak, work, most = sys.argv[1:4] + [int(sys.argv[4])]
failed = 0
MIB = 1 << 20


def check(text, good):
    global failed
    print(("ok - " if good else "not ok - ") + text, flush=True)
    failed |= not good


# ---- save images ----

QEMU = b"QEVM" + struct.pack(">I", 3) + b"\x07" + struct.pack(">I", 2) + b"pc"


def domain(body):
    return b"<domain type='qemu'><name>vm1</name>" + body + b"</domain>"


def image(stream, kind=0, xml=domain(b"")):
    data = xml + bytes(64)
    return struct.pack("=16s5I56x", b"LibvirtQemudSave", 2, len(data), 1, kind, 0) + data + stream


def described(more, kind=0, pack=lambda data: data):
    text = b'{"page_size":4096,"devices":[' + more + b"]}"
    return image(pack(QEMU + b"\x7e\0\0\0\1\0\x06" + struct.pack(">I", len(text)) + text), kind)


def declared(entities):
    return b"<!DOCTYPE d [" + entities + b"]>" + domain(b"")


def xz(dictionary):
    """A dictionary of a size of which only this byte of the head tells."""
    data = bytearray(lzma.compress(QEMU, preset=0))
    end = 12 + (data[12] + 1) * 4
    data[data.index(b"\x21\x01", 12) + 2] = dictionary
    data[end - 4:end] = struct.pack("<I", zlib.crc32(data[12:end - 4]))
    return bytes(data)


def xz_bomb(size):
    packer = lzma.LZMACompressor(filters=[{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 32 * MIB}])
    return packer.compress(QEMU) + b"".join(packer.compress(bytes(MIB)) for _ in range(size)) + packer.flush()


def zstd(window):
    data = bytearray(parts.zstd(QEMU))
    data[5] = window
    return bytes(data)


def records(members):
    """Memory of 1024 blocks, all of its pages in records of 14 bytes: 16 MiB of them in each member of the gzip data."""
    blocks = b"".join(b"\4%04x" % i + struct.pack(">Q", 4096) for i in range(1024))
    start = b"\1\0\0\0\2\3ram" + struct.pack(">2IQ", 0, 4, 1024 * 4096 | 4) + blocks + struct.pack(">Q", 16)
    two = b"".join(struct.pack(">Q", 2) + b"\4%04x\0" % block for block in (1022, 1023))
    member = gzip.compress(two * (16 * MIB // len(two)), 9)
    return gzip.compress(QEMU + start + b"\x7e\0\0\0\2\2\0\0\0\2") + member * members


NAMES = [b"%x" % i for i in range(100000)]
ATTRIBUTES = b"<a " + b" ".join(b'a%s=""' % name for name in NAMES) + b"/>"
ENTITIES = b"".join(b"<!ENTITY e%s 'a'>" % name for name in NAMES)
LAUGHS = b"<!ENTITY a 'aaaaaaaaaa'>" + b"".join(
    b"<!ENTITY %c '%s'>" % (98 + i, (b"&%c;" % (97 + i)) * 10) for i in range(9))


# ---- others ----


def model(value):
    return make.raw_safetensors('{"data_offsets":{"a":' + value + "}}", b"")


def tensors(count):
    row = '"%x":{"shape":[0],"dtype":"U8","data_offsets":[0,0]}'
    return make.raw_safetensors("{" + ",".join(row % i for i in range(count)) + "}", b"")


def zip_of(count):
    """Empty entries."""
    local, rows = bytearray(), bytearray()
    for i in range(count):
        name = b"%08x" % i
        rows += struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, len(local)) + name
        local += struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 0, 0, 0, 0, 0, 0, 8, 0) + name
    end = struct.pack("<4sQ2H2I2Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count)
    end += struct.pack("<2Q", len(rows), len(local)) + struct.pack("<4sIQI", b"PK\6\7", 0, len(local) + len(rows), 1)
    return bytes(local + rows + end + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 65535, 65535, 2**32 - 1, 2**32 - 1, 0))


def zip_bomb(size, says):
    """One entry of size MiB of zeros, which says that it has says bytes."""
    packer = zlib.compressobj(9, wbits=-15)
    data = packer.compress(bytes(size * MIB)) + packer.flush()
    numbers = struct.pack("<3I", zlib.crc32(bytes(size * MIB)), len(data), says)
    local = struct.pack("<4s5H", b"PK\3\4", 20, 0, 8, 0, 0) + numbers + struct.pack("<2H", 1, 0) + b"a" + data
    row = struct.pack("<4s6H", b"PK\1\2", 20, 20, 0, 8, 0, 0) + numbers + struct.pack("<5H2I", 1, 0, 0, 0, 0, 0, 0) + b"a"
    return local + row + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(row), len(local), 0)


def elf_of(segments):
    """As many as their number in section 0 says, but none of them is there."""
    head = b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHIQQQI6H", 4, 62, 1, 0, 128, 64, 0, 64, 56, 0xffff, 64, 1, 0)
    return head + struct.pack("<IIQQQQIIQQ", 0, 0, 0, 0, 0, 0, 0, segments, 0, 0) + bytes(100)


DAMAGED, UNKNOWN, GOOD = 1, 4, 0
FILES = [
    ("xml-attributes", image(QEMU, xml=domain(ATTRIBUTES)), DAMAGED, "more attributes"),
    ("xml-elements", image(QEMU, xml=domain(b"".join(b"<e%s/>" % name for name in NAMES))), DAMAGED, "more elements"),
    ("xml-entities", image(QEMU, xml=declared(ENTITIES)), DAMAGED, "declares a document type"),
    ("xml-laughs", image(QEMU, xml=declared(LAUGHS)), DAMAGED, "declares a document type"),
    ("xml-text", image(QEMU, xml=domain(b"x" * (5 * MIB))), DAMAGED, "no end within its 4194305 bytes"),
    ("description-objects", described(b"{" + b'"x":[' + b",".join([b"{}"] * 500000) + b"]}"), UNKNOWN, "too large to be read"),
    ("description-keys", described(b"{" + b",".join(b'"%s":0' % name for name in NAMES) + b"}"), UNKNOWN, "too large to be read"),
    ("description-gzip", described(b"[" + b",".join([b"0"] * 1000000) + b"]", 1, gzip.compress), UNKNOWN, "too large to be read"),
    ("description-many", described(b",".join(b'{"name":"","instance_id":0}' for _ in range(30000))), DAMAGED, "no section begins"),
    ("gzip-bomb", image(gzip.compress(QEMU + b"\4" + bytes(64 * MIB), 1), 1), DAMAGED, "the end of QEMU's stream is missing"),
    ("xz-1G", image(xz(36), 3), UNKNOWN, "its xz data needs 1025 MiB of memory"),
    ("xz-4G", image(xz(40), 3), UNKNOWN, "its xz data needs 4097 MiB of memory"),
    ("xz-bomb", image(xz_bomb(48), 3), DAMAGED, "the end of QEMU's stream is missing"),
    ("zstd-2G", image(zstd(21 << 3), 5), UNKNOWN, "its zstd data needs 2049 MiB of memory"),
    ("zstd-second-frame", image(zstd(0) + zstd(17 << 3), 5), UNKNOWN, "its zstd data needs 129 MiB of memory"),
    ("model-objects", model("[" + ",".join(["{}"] * 1000000) + "]"), UNKNOWN, "very long"),
    ("model-nested", model("[" * 3000000), UNKNOWN, "very long"),
    ("model-tensors", tensors(600000), UNKNOWN, "more than 524288 tensors"),
    ("zip-entries", zip_of(100000), GOOD, "complete"),
    ("zip-bomb", zip_bomb(64, 64 * MIB), GOOD, "complete"),
    ("zip-bomb-hidden", zip_bomb(64, 1000), DAMAGED, "longer than it says"),
    ("elf-segments", elf_of(2**32 - 1), DAMAGED, "ends before its headers"),
]


def write(name, data):
    with open(os.path.join(work, name), "wb") as file:
        file.write(data)


def qcow2(name, size):
    """Clusters of 512 bytes; nearly all of the file is a hole."""
    path = os.path.join(work, name)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", "cluster_size=512", path, "1M"], check=True)
    os.truncate(path, size)


def verify(*arguments):
    """Returns the status, what was printed, and how much memory it took."""
    done = subprocess.run([peak, os.path.join(work, "..", "peak"), saveseal, "verify", *arguments], text=True, cwd=work,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=240)
    with open(os.path.join(work, "..", "peak")) as file:
        return done.returncode, done.stdout, int(file.read())


def is_little(kib):
    return most == 0 or kib <= most


for name, data, status, text in FILES:
    write(name, data)
    got, said, kib = verify("--deep", name)
    check(f"{name}: {kib} KiB" + ("" if got == status and text in said else f", {got}: {said}"),
          got == status and text in said and is_little(kib))
del FILES, NAMES, ATTRIBUTES, ENTITIES
write("records", image(records(600), 1))
begin = time.monotonic()
got, said, kib = verify("--deep", "--max-time", "1", "records")
took = time.monotonic() - begin
check(f"records, as many as unpack from 10 MB: {took:.1f} s, {kib} KiB",
      got == 3 and "not reached" in said and took < 6 and is_little(kib))
os.unlink(os.path.join(work, "records"))
for i in range(6):
    qcow2(f"disk{i}", 1100 * MIB)
got, said, kib = verify("--deep", "--jobs", "8", "-r", ".")
check(f"all of them, and large disks, beside each other: {kib} KiB", got == 1 and "disk5: complete" in said and is_little(kib))
sys.exit(failed)
