#!/usr/bin/env python3
"""dumps.py SAVESEAL WORK QEMU-DUMPS [STEP]: damages images of other savers as the table says, and asks saveseal --deep;
then damages some at each (STEPth) byte, and asks another program as well. QEMU-DUMPS has elf and kdump-zlib of a machine."""
import io
import json
import os
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib

import dumps_make as make

saveseal, work, machine = sys.argv[1:4]
step = int(sys.argv[4]) if len(sys.argv) > 4 else 1
failed = 0

# ---- damages: of a file's bytes, or of a directory's dict ----


def cut(length):  # to length, or by as many bytes if negative
    return lambda data: data[:length]


def put(at, content):
    return lambda data: data[:at] + content + data[at if at >= 0 else len(data) + at:][len(content):]


def pack(at, layout, value):
    return put(at, struct.pack(layout, value))


def swap(a, b, length):  # two pieces change places
    return lambda data: put(a, data[b:b + length])(put(b, data[a:a + length])(data))


def add(content):
    return lambda data: data + content


def replace(old, new):
    def damage(data):
        assert data.count(old) >= 1
        return data.replace(old, new, 1)

    return damage


def without(*names):
    return lambda files: {name: data for name, data in files.items() if name not in names}


def inside(name, damage):
    return lambda files: files | {name: damage(files[name])}


def two_rows(data):  # of a zip with one entry
    at, end = data.index(b"PK\1\2"), data.index(b"PK\5\6")
    row = data[at:end]
    return data[:at] + row * 2 + data[end:end + 8] + struct.pack("<HHI", 2, 2, 2 * len(row)) + data[end + 16:]


def none(data):
    return data


# ---- the table ----

COMPLETE, UNPROVEN, UNSUPPORTED, UNKNOWN = ("complete", 0), ("end-unproven", 4), ("format-unsupported", 4), ("end-unproven", 4)
INCOMPLETE, HEADER, STREAM = ("format-incomplete", 1), ("header-damaged", 1), ("stream-damaged", 1)
STRUCTURE = ("structure-damaged", 1)
NO_IMAGE = ("not-a-file", 2)

ELF, ELF32B, ELFX = make.elf(), make.elf(32, ">"), make.elf(extended=True, sections=False)
RAW, FLAT, FLAT_ELF = make.kdump(), make.flatten(make.kdump()), make.flatten(ELF)
MODEL = make.safetensors()
ZIP, ZIP64, ZIPPED = make.zipped(), make.zipped(large=True), make.zipped(method=zipfile.ZIP_DEFLATED)
CRIU = make.criu()
MANY_ENTRIES = make.zipped([str(i) for i in range(66000)])
MANY_TENSORS = make.safetensors([("I8", [3], 3)] * 100000)
MANY_SEGMENTS = make.elf(segments=70000, extended=True, sections=False, size=1)
JSON_END = 8 + struct.unpack("<Q", MODEL[:8])[0]
HOLE = ('{"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}, '
        '"b": {"dtype": "U8", "shape": [4], "data_offsets": [8, 12]}}')
ROW = ZIP.index(b"PK\1\2")


def real(name):
    """What PyTorch 2.6 and the reference implementation of safetensors 0.5 wrote."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../fuzz/corpus", name), "rb") as file:
        return file.read()


TORCH, SCRIPT, REAL_MODEL = real("zip/torch-checkpoint"), real("zip/torch-script"), real("safetensors/real-types")
ROW64, END64 = ZIP64.index(b"PK\1\2"), ZIP64.index(b"PK\6\6")

TABLE = [
    # ELF
    ("elf", ELF, none, COMPLETE),
    ("elf of 32 bits, big endian", ELF32B, none, COMPLETE),
    ("elf of 64 bits, big endian", make.elf(64, ">"), none, COMPLETE),
    ("elf of 32 bits, little endian", make.elf(32), none, COMPLETE),
    ("elf without sections", make.elf(sections=False), none, COMPLETE),
    ("elf with many segments", ELFX, none, COMPLETE),
    ("elf with more than 65535", MANY_SEGMENTS, none, COMPLETE),
    ("elf with more than 65535, cut", MANY_SEGMENTS, cut(-1), STRUCTURE),
    ("elf cut in its last part", ELF, cut(-1), STRUCTURE),
    ("elf cut in its last segment", ELF, cut(-20), STRUCTURE),
    ("elf cut in its first segment", ELF, cut(600), STRUCTURE),
    ("elf without sections, cut", make.elf(sections=False), cut(-1), STRUCTURE),
    ("elf of 32 bits, cut", ELF32B, cut(-1), STRUCTURE),
    ("elf with many segments, cut", ELFX, cut(-1), STRUCTURE),
    ("elf cut in its table of segments", ELF, cut(200), STRUCTURE),
    ("elf cut behind its header", ELF, cut(64), STRUCTURE),
    ("elf cut in its header", ELF, cut(40), STRUCTURE),
    ("elf cut in its first bytes", ELF, cut(17), UNKNOWN),
    ("elf with bytes behind it", ELF, add(b"x"), UNPROVEN),
    ("elf that is a program", ELF, pack(16, "<H", 2), UNKNOWN),
    ("elf of no class", ELF, put(4, b"\3"), HEADER),
    ("elf of the other byte order", ELF, put(5, b"\2"), UNKNOWN),
    ("elf of another class", ELF, put(4, b"\1"), HEADER),
    ("elf of a new version", ELF, pack(20, "<I", 2), HEADER),
    ("elf without segments", ELF, pack(56, "<H", 0), HEADER),
    ("elf with one segment more", ELF, pack(56, "<H", 5), STRUCTURE),
    ("elf with segments at the end of the world", ELF, pack(32, "<Q", 2**64 - 8), STRUCTURE),
    ("elf with rows of another size", ELF, pack(54, "<H", 64), HEADER),
    ("elf with a segment past all numbers", ELF, pack(192 + 56 + 8, "<Q", 2**64 - 2), HEADER),
    ("elf with a segment past the end", ELF, pack(192 + 56 + 8, "<Q", 2**40), STRUCTURE),
    ("elf with a segment larger than its memory", ELF, pack(192 + 56 + 40, "<Q", 10), HEADER),
    ("elf with wrong notes", ELF, pack(192 + 224 + 4, "<I", 2**31), STRUCTURE),
    ("elf with many segments that has no number", ELFX, pack(40, "<Q", 0), HEADER),
    ("elf with many segments and 2^32", ELFX, pack(64 + 44, "<I", 2**32 - 1), STRUCTURE),
    ("elf with a section past the end", ELF, pack(64 + 64 + 24, "<Q", 2**40), STRUCTURE),
    # kdump, flattened
    ("kdump", FLAT, none, COMPLETE),
    ("kdump of an elf file", FLAT_ELF, none, COMPLETE),
    ("kdump without its end mark", FLAT, cut(-16), STREAM),
    ("kdump with half its end mark", FLAT, cut(-8), STREAM),
    ("kdump cut by a byte", FLAT, cut(-1), STREAM),
    ("kdump cut in a record", FLAT, cut(5000), STREAM),
    ("kdump cut behind its header", FLAT, cut(4096), STREAM),
    ("kdump cut in its header", FLAT, cut(100), STREAM),
    ("kdump cut in its signature", FLAT, cut(12), UNKNOWN),
    ("kdump with bytes behind it", FLAT, add(b"x"), STREAM),
    ("kdump with two end marks", FLAT, add(b"\xff" * 16), STREAM),
    ("kdump without a piece in the middle", FLAT, lambda data: data[:8000] + data[8100:], STREAM),
    ("kdump with a record longer than the file", FLAT, pack(4096 + 8, ">q", 2**40), STREAM),
    ("kdump with a negative length", FLAT, pack(4096 + 8, ">q", -5), STREAM),
    ("kdump with a record past all numbers", FLAT, pack(4096, ">q", 2**63 - 1), STREAM),
    ("kdump of a new version", FLAT, pack(24, ">q", 2), UNSUPPORTED),
    ("kdump that says it is incomplete", make.flatten(make.kdump(status=9)), none, INCOMPLETE),
    # kdump, bare
    ("bare kdump", RAW, none, COMPLETE),
    ("bare kdump of 32 bits", make.kdump(32), none, COMPLETE),
    ("bare kdump, big endian", make.kdump(64, ">"), none, COMPLETE),
    ("bare kdump of 32 bits, big endian", make.kdump(32, ">"), none, COMPLETE),
    ("bare kdump with many pages", make.kdump(pages=5000), none, COMPLETE),
    ("bare kdump with many pages, cut", make.kdump(pages=5000), cut(-1), STRUCTURE),
    ("bare kdump cut by a byte", RAW, cut(-1), STRUCTURE),
    ("bare kdump cut in its table", RAW, cut(4 * 4096 + 50), STRUCTURE),
    ("bare kdump cut in its bitmaps", RAW, cut(3 * 4096), STRUCTURE),
    ("bare kdump cut behind its header", RAW, cut(4096), STRUCTURE),
    ("bare kdump cut in its header", RAW, cut(300), STRUCTURE),
    ("bare kdump with bytes behind it", RAW, add(b"x"), UNPROVEN),
    ("bare kdump with a block size of 5", RAW, pack(428, "<I", 5), HEADER),
    ("bare kdump with bitmaps of 2^31 blocks", RAW, pack(436, "<I", 2**31), STRUCTURE),
    ("bare kdump with a page past the end", RAW, pack(4 * 4096, "<Q", 2**63), STRUCTURE),
    ("bare kdump with a page that is larger than one", RAW, pack(4 * 4096 + 8, "<I", 4097), STRUCTURE),
    ("bare kdump with a hole in its table", RAW, put(4 * 4096 + 24, bytes(24)), STRUCTURE),
    ("bare kdump with one page more", RAW, put(3 * 4096, b"\xff\1"), STRUCTURE),
    ("bare kdump without pages", RAW, put(3 * 4096, b"\0"), STRUCTURE),
    ("bare kdump whose notes are elsewhere", RAW, pack(4096 + 48, "<Q", 2**50), STRUCTURE),
    ("bare kdump that was split", make.kdump(split=1), none, UNSUPPORTED),
    ("bare kdump that says it is incomplete", make.kdump(status=9), none, INCOMPLETE),
    # CRIU
    ("criu", CRIU, none, COMPLETE),
    ("criu, a pre-dump", make.criu(pre_dump=True), none, UNPROVEN),
    ("criu without its inventory", CRIU, without("inventory.img"), INCOMPLETE),
    ("criu without its tree", CRIU, without("pstree.img"), STRUCTURE),
    ("criu without both", CRIU, without("inventory.img", "pstree.img"), NO_IMAGE),
    ("criu with an empty inventory", CRIU, inside("inventory.img", cut(0)), STRUCTURE),
    ("criu with an inventory without a record", CRIU, inside("inventory.img", cut(4)), STRUCTURE),
    ("criu with a cut inventory", CRIU, inside("inventory.img", cut(-1)), STRUCTURE),
    ("criu with two inventories", CRIU, inside("inventory.img", lambda data: data + data[4:]), STRUCTURE),
    ("criu of version 1", CRIU, inside("inventory.img", put(9, b"\1")), UNSUPPORTED),
    ("criu with a cut tree", CRIU, inside("pstree.img", cut(-1)), STRUCTURE),
    ("criu with a tree of one process twice", CRIU, inside("pstree.img", lambda data: data + data[8:] * 40), STRUCTURE),
    ("criu with a tree cut between processes", CRIU, inside("pstree.img", cut(-10)), UNPROVEN),
    ("criu without a process", CRIU, without("core-12.img"), STRUCTURE),
    ("criu without a thread", CRIU, without("core-11.img"), STRUCTURE),
    ("criu without a dead process", CRIU, without("core-13.img"), STRUCTURE),
    ("criu without an address space", CRIU, without("mm-12.img"), STRUCTURE),
    ("criu without a page map", CRIU, without("pagemap-10.img"), STRUCTURE),
    ("criu without ids", CRIU, without("ids-10.img"), STRUCTURE),
    ("criu without descriptors", CRIU, without("fdinfo-2.img"), STRUCTURE),
    ("criu without pages", CRIU, without("pages-1.img"), STRUCTURE),
    ("criu with a cut page", CRIU, inside("pages-2.img", cut(-1)), STRUCTURE),
    ("criu with a page less", CRIU, inside("pages-1.img", cut(-4096)), STRUCTURE),
    ("criu with a page more", CRIU, inside("pages-1.img", add(bytes(4096))), STRUCTURE),
    ("criu with pages mixed up", CRIU, lambda files: files | {"pages-1.img": files["pages-2.img"], "pages-2.img": files["pages-1.img"]}, STRUCTURE),
    ("criu with a map cut between records", CRIU, inside("pagemap-10.img", cut(-13)), STRUCTURE),
    ("criu with a cut map", CRIU, inside("pagemap-10.img", cut(-2)), STRUCTURE),
    ("criu whose parent is away", make.criu(parent=True), none, STRUCTURE),
    ("criu with a cut core", CRIU, inside("core-10.img", cut(-3)), STRUCTURE),
    ("criu with the magic of another", CRIU, inside("core-10.img", lambda _: CRIU["mm-10.img"]), STRUCTURE),
    ("criu with zeros for a core", CRIU, inside("core-12.img", lambda data: bytes(len(data))), STRUCTURE),
    ("criu with zeros at a core's end", CRIU, inside("core-12.img", lambda data: data[:14] + bytes(len(data) - 14)), STRUCTURE),
    ("criu with a cut list of files", CRIU, inside("files.img", cut(-1)), STRUCTURE),
    ("criu with a cut pipe", CRIU, inside("pipes-data.img", cut(24)), STRUCTURE),
    ("criu with a cut connection", CRIU, inside("tcp-stream-1f.img", cut(-1)), STRUCTURE),
    ("criu with cut shared memory", CRIU, inside("ipcns-shm-9.img", cut(23)), STRUCTURE),
    ("criu with cut semaphores", CRIU, inside("ipcns-sem-9.img", cut(-1)), STRUCTURE),
    ("criu with cut messages", CRIU, inside("ipcns-msg-9.img", cut(-1)), STRUCTURE),
    ("criu with a cut chunk of a ghost", CRIU, inside("ghost-file-2.img", cut(-1)), STRUCTURE),
    # safetensors
    ("model", MODEL, none, COMPLETE),
    ("model without tensors", make.safetensors((), False), none, COMPLETE),
    ("model with metadata alone", make.safetensors(()), none, COMPLETE),
    ("model without padding", make.safetensors(pad=False), none, COMPLETE),
    ("model of many tensors", MANY_TENSORS, none, COMPLETE),
    ("model of many tensors, cut", MANY_TENSORS, cut(-1), STRUCTURE),
    ("model of 4 bits", make.safetensors([("F4", [3, 2], 3), ("F6_E2M3", [4], 3)]), none, COMPLETE),
    ("model of half a byte", make.safetensors([("F4", [3], 2)]), none, HEADER),
    ("model of a new type", make.safetensors([("F3", [8], 3)]), none, UNSUPPORTED),
    ("model of a new type, cut", make.safetensors([("F3", [8], 3)]), cut(-1), STRUCTURE),
    ("model with metadata of 5 MB", make.raw_safetensors('{"__metadata__":{"a":"' + "x" * 5000000 + '"}}', b""), none, UNSUPPORTED),
    ("model cut by a byte", MODEL, cut(-1), STRUCTURE),
    ("model cut behind its list", MODEL, cut(JSON_END), STRUCTURE),
    ("model cut in its list", MODEL, cut(JSON_END - 1), STRUCTURE),
    ("model cut early", MODEL, cut(60), STRUCTURE),
    ("model cut before any word", MODEL, cut(10), UNKNOWN),
    ("model with bytes behind it", MODEL, add(b"x"), STRUCTURE),
    ("model with a hole", MODEL, replace(b"[24, 32]", b"[25, 33]"), HEADER),
    ("model with nothing but a hole", make.raw_safetensors(HOLE, bytes(12)), none, HEADER),
    ("model with an overlap", MODEL, replace(b"[24, 32]", b"[23, 31]"), HEADER),
    ("model with another shape", MODEL, replace(b"[2, 3]", b"[2, 4]"), HEADER),
    ("model with a shape past all numbers", MODEL, replace(b"[2, 3]", b"[9999999999999999999]"), HEADER),
    ("model with a shape whose size is past all numbers", make.safetensors([("U8", [2**32, 2**32], 0)]), none, HEADER),
    ("model with a negative place", MODEL, replace(b"[0, 24]", b"[-1,23]"), HEADER),
    ("model that ends before it begins", MODEL, replace(b"[24, 32]", b"[32, 24]"), HEADER),
    ("model with a tensor without a type", MODEL, replace(b'"dtype"', b'"dtypo"'), HEADER),
    ("model with a shorter list", MODEL, pack(0, "<Q", JSON_END - 16), HEADER),
    ("model with a longer list", MODEL, pack(0, "<Q", JSON_END), HEADER),
    ("model with a list past the end", MODEL, pack(0, "<Q", 90000000), STRUCTURE),
    ("model with a list past all limits", MODEL, pack(0, "<Q", 100000001), UNKNOWN),
    ("model with no list", MODEL, replace(b'"layer.1', b"'layer.1"), HEADER),
    ("model with a name twice", MODEL, replace(b"layer.1", b"layer.2"), HEADER),
    ("model with bytes that are no UTF-8", MODEL, replace(b"layer.1", b"layer\xff1"), HEADER),
    ("model by the reference implementation", REAL_MODEL, none, COMPLETE),
    ("model by the reference implementation, of nothing", real("safetensors/real-nothing"), none, COMPLETE),
    ("model by the reference implementation, cut", REAL_MODEL, cut(-1), STRUCTURE),
    # zip
    ("checkpoint of torch", TORCH, none, COMPLETE),
    ("checkpoint of torch cut by a byte", TORCH, cut(-1), STRUCTURE),
    ("checkpoint of torch cut in half", TORCH, cut(len(TORCH) // 2), STRUCTURE),
    ("checkpoint of torch with another word", TORCH, replace(b"epoch", b"epocl"), STRUCTURE),
    ("script of torch", SCRIPT, none, COMPLETE),
    ("script of torch cut by a byte", SCRIPT, cut(-1), STRUCTURE),
    ("zip of torch", ZIP, none, COMPLETE),
    ("zip with 64 bits", ZIP64, none, COMPLETE),
    ("zip, compressed", ZIPPED, none, COMPLETE),
    ("zip with sizes behind", make.zipped(stream=True), none, COMPLETE),
    ("zip with sizes behind, compressed", make.zipped(stream=True, method=8), none, COMPLETE),
    ("zip with a comment", make.zipped(comment=b"PK\5\6 and words"), none, COMPLETE),
    ("zip with a name that not each locale has", make.zipped(["archive/données"]), none, COMPLETE),
    ("zip without entries", make.zipped([]), none, COMPLETE),
    ("zip of many entries", MANY_ENTRIES, none, COMPLETE),
    ("zip of many entries, cut", MANY_ENTRIES, cut(-1), STRUCTURE),
    ("zip cut by a byte", ZIP, cut(-1), STRUCTURE),
    ("zip cut in its comment", make.zipped(comment=b"words"), cut(-1), STRUCTURE),
    ("zip cut before its end record", ZIP, cut(-22), STRUCTURE),
    ("zip cut in its directory", ZIP, cut(ROW + 10), STRUCTURE),
    ("zip cut before its directory", ZIP, cut(ROW), STRUCTURE),
    ("zip cut in an entry", ZIP, cut(60), STRUCTURE),
    ("zip cut behind its magic", ZIP, cut(4), STRUCTURE),
    ("zip with bytes behind it", ZIP, add(b"x"), STRUCTURE),
    ("zip with a piece lost", ZIP, lambda data: data[:50] + data[60:], STRUCTURE),
    ("zip with another byte", ZIP, put(60, b"!"), STRUCTURE),
    ("zip with another byte, compressed", ZIPPED, put(30 + 16 + 1, b"!"), STRUCTURE),
    ("zip with entries swapped", ZIP, swap(30 + 16, ZIP.index(b"bbb"), 50), STRUCTURE),
    ("zip with another checksum", ZIP, pack(ROW + 16, "<I", 5), STRUCTURE),
    ("zip with another name", ZIP, put(30, b"A"), STRUCTURE),
    ("zip with a directory elsewhere", ZIP, pack(-6, "<I", ROW - 1), STRUCTURE),
    ("zip with one entry more", ZIP, lambda data: pack(-14, "<H", 4)(pack(-12, "<H", 4)(data)), STRUCTURE),
    ("zip with one entry less", ZIP, lambda data: pack(-14, "<H", 2)(pack(-12, "<H", 2)(data)), STRUCTURE),
    ("zip that is one of several", ZIP, pack(-18, "<H", 1), UNSUPPORTED),
    ("zip with an entry past the end", ZIP, pack(ROW + 42, "<I", 2**31), STRUCTURE),
    ("zip with an entry larger than the file", ZIP, lambda data: pack(ROW + 20, "<I", 2**30)(pack(ROW + 24, "<I", 2**30)(data)), STRUCTURE),
    ("zip with one entry twice", ZIP, pack(ZIP.index(b"PK\1\2", ROW + 1) + 42, "<I", 0), STRUCTURE),
    ("zip with one entry in two rows", make.zipped(["a"]), two_rows, STRUCTURE),
    ("zip with 64 bits cut by a byte", ZIP64, cut(-1), STRUCTURE),
    ("zip with 64 bits whose end is elsewhere", ZIP64, pack(END64 + 56 + 8, "<Q", END64 - 1), STRUCTURE),
    ("zip with 64 bits whose end has another length", ZIP64, pack(END64 + 4, "<Q", 45), STRUCTURE),
    ("zip with 64 bits with a gap behind its end", ZIP64, lambda data: data[:END64 + 56] + b"\0" + data[END64 + 56:], STRUCTURE),
    ("zip with 64 bits and more in its end", ZIP64, lambda data: pack(END64 + 4, "<Q", 47)(data[:END64 + 56] + b"abc" + data[END64 + 56:]),
     COMPLETE),
    ("zip with 64 bits whose end is past all", ZIP64, pack(END64 + 56 + 8, "<Q", 2**64 - 1), STRUCTURE),
    ("zip with 2^60 entries", ZIP64, lambda data: pack(END64 + 24, "<Q", 2**60)(pack(END64 + 32, "<Q", 2**60)(data)), STRUCTURE),
    ("zip that is encrypted", ZIP, pack(ROW + 8, "<H", 1), UNSUPPORTED),
    ("zip that is encrypted strongly", ZIP, pack(ROW + 8, "<H", 0x41), UNSUPPORTED),
    ("zip that is a patch", ZIP, pack(ROW + 8, "<H", 0x20), UNSUPPORTED),
    ("zip with an entry on another disk", ZIP, pack(ROW + 34, "<H", 16), STRUCTURE),
    ("zip with 64 bits with an entry on another disk", ZIP64, pack(ROW64 + 34, "<H", 16), STRUCTURE),
    ("zip of a new version", ZIP, put(ROW + 6, b"\x50"), UNSUPPORTED),
    ("zip of a new method", ZIP, lambda data: pack(8, "<H", 77)(pack(ROW + 10, "<H", 77)(data)), UNSUPPORTED),
]

# ---- asking ----


def ask(paths, *options):
    """What saveseal says of each: (id, exit status, detail)."""
    answers = []
    for first in range(0, len(paths), 1000):
        run = subprocess.run([saveseal, "verify", "--json", *options, *paths[first:first + 1000]], capture_output=True, timeout=300)
        lines = [json.loads(line) for line in run.stdout.splitlines()]
        if run.returncode not in range(6) or b"Sanitizer" in run.stderr or b"runtime error" in run.stderr:
            sys.exit(f"not ok - saveseal: status {run.returncode}: {run.stderr.decode(errors='replace')[:4000]}")
        answers += [(a["finding"], a["exit"], a.get("detail", "")) for a in lines if "path" in a]
    assert len(answers) == len(paths), (len(answers), len(paths))
    return answers


def write(path, content):
    if isinstance(content, dict):
        os.mkdir(path)
        for name, data in content.items():
            write(os.path.join(path, name), data)
        return
    with open(path, "wb") as file:
        file.write(content)


def check(text, good):
    global failed
    print("ok -" if good else "not ok -", text)
    failed += not good


def check_table():
    paths = []
    for i, (_, fixture, damage, _) in enumerate(TABLE):
        paths.append(os.path.join(work, f"row{i}"))
        write(paths[-1], damage(fixture))
    answers, quick = ask(paths, "--deep"), ask(paths)
    for (name, _, _, wanted), got, cheap in zip(TABLE, answers, quick):
        check(f"{name}: {wanted[0]}" + ("" if got[:2] == wanted else f", got {got}"), got[:2] == wanted)
        # Without --deep less is looked at: nothing may be damaged that is not, nor complete that is.
        if cheap[1] == 1 and got[1] != 1 or got[1] == 0 and "complete by its own marks" not in cheap[2]:
            check(f"{name}: not deep: {cheap}", False)
    overlap = [row[0] for row in TABLE].index("zip with one entry in two rows")
    check("overlapping entries are seen without --deep, before anything is decompressed", "overlap" in quick[overlap][2])


# ---- at each byte, and others who judge ----


def zip_judge(data):
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error, ValueError, OSError, EOFError, OverflowError):
        return False


BITS = {"BOOL": 8, "F8_E4M3": 8, "F8_E5M2": 8, "U8": 8, "I8": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "F64": 64,
        "I64": 64, "U64": 64}


def model_judge(data):
    """The rules of the format, read another way."""
    length = int.from_bytes(data[:8], "little")
    try:
        table = json.loads(data[8:8 + length].decode())
        assert 8 + length <= len(data) and data[8:9] == b"{" and isinstance(table.pop("__metadata__", {}), dict)
        covered = sorted((t["data_offsets"], t["dtype"], t["shape"]) for t in table.values())
        at = 0
        for (start, end), dtype, shape in covered:
            count = 1
            for n in shape:
                assert type(n) is int and n >= 0
                count *= n
            assert start == at and BITS[dtype] * count == (end - start) * 8
            at = end
        return at == len(data) - 8 - length
    except (ValueError, KeyError, AssertionError, TypeError, AttributeError):
        return False


FLIPS = (0xFF, 0x01)


def sweep(name, fixture, places, judge=None):
    """Flips bits of each byte, one after the other, and cuts at each byte. judge tells whether the bytes are good."""
    contents = [fixture[:at] + bytes([fixture[at] ^ flip]) + fixture[at + 1:] for at in places for flip in FLIPS]
    contents += [fixture[:length] for length in range(len(fixture)) if length in places]
    paths = []
    for i, content in enumerate(contents):
        paths.append(os.path.join(work, f"sweep{i}"))
        write(paths[-1], content)
    answers = ask(paths, "--deep")
    cuts = [a for a in answers[len(places) * len(FLIPS):] if a[1] == 0]
    check(f"{name}: {len(contents)} damages, a cut one is never complete {cuts[:3]}", not cuts)
    if judge:
        good = [judge(content) for content in contents]
        looser = [i for i, (a, g) in enumerate(zip(answers, good)) if a[1] == 0 and not g]
        stricter = [i for i, (a, g) in enumerate(zip(answers, good)) if a[1] != 0 and g]
        tell = lambda i: f"byte {places[i // len(FLIPS)]} ^ {FLIPS[i % len(FLIPS)]:#x}" if i < len(places) * len(FLIPS) else f"cut {i}"
        check(f"{name}: what is complete is good for the other judge {[tell(i) for i in looser[:8]]}", not looser)
        print(f"# {name}: {len(stricter)} refused here only: {[(tell(i), answers[i]) for i in stricter[:400:40]]}")
    for path in paths:
        os.unlink(path)


def check_sweeps():
    sweep("zip", ZIP, range(0, len(ZIP), step), zip_judge)
    sweep("zip with 64 bits", ZIP64, range(0, len(ZIP64), step), zip_judge)
    sweep("zip, compressed", ZIPPED, range(0, len(ZIPPED), step), zip_judge)
    sweep("checkpoint of torch", TORCH, range(0, len(TORCH), 2 * step), zip_judge)
    sweep("model by the reference implementation", REAL_MODEL, range(0, len(REAL_MODEL), step), model_judge)
    sweep("model", MODEL, range(0, len(MODEL), step), model_judge)
    small, table = make.elf(segments=1, size=20), 4 * 4096
    sweep("elf", small, range(0, len(small), step))
    sweep("kdump", FLAT, [*range(0, 40), *range(4090, 4680, 4 * step), *range(len(FLAT) - 60, len(FLAT))])
    sweep("bare kdump", RAW, [*range(0, 470, 2 * step), *range(4090, 4400, 2 * step), *range(table - 5, table + 210, step)])


# ---- what a machine wrote ----


def check_machine(folder):
    def dump(name):
        with open(os.path.join(folder, name), "rb") as file:
            return file.read()

    memory, flat = dump("elf"), dump("kdump-zlib")
    bare, last = make.unflatten(flat), len(memory) - 11
    for name, content, wanted in [
        ("elf of QEMU", memory, COMPLETE), ("elf of QEMU cut in its last part", memory[:-1], STRUCTURE),
        ("elf of QEMU cut in its last segment", memory[:last - 1], STRUCTURE), ("elf of QEMU cut in half", memory[:last // 2], STRUCTURE),
        ("elf of QEMU cut in its headers", memory[:300], STRUCTURE), ("kdump of QEMU", flat, COMPLETE),
        ("kdump of QEMU cut by a byte", flat[:-1], STREAM), ("kdump of QEMU without its mark", flat[:-16], STREAM),
        ("kdump of QEMU cut in half", flat[:len(flat) // 2], STREAM), ("kdump of QEMU, bare", bare, COMPLETE),
        ("kdump of QEMU, bare, cut by a byte", bare[:-1], STRUCTURE), ("kdump of QEMU, bare, cut in half", bare[:len(bare) // 2], STRUCTURE)]:
        path = os.path.join(work, "machine")
        write(path, content)
        got = ask([path], "--deep")[0]
        check(f"{name}: {wanted[0]}" + ("" if got[:2] == wanted else f", got {got}"), got[:2] == wanted)
        os.unlink(path)


# ---- show ----

# What of each image saveseal show prints, and in which order.
SHOWN = [
    ("a CRIU directory", CRIU, 0, ["directory that is an image", "inside: CRIU image directory", "judged: complete: ", "processes: 3",
                                   "threads: 4", "memory: 28672 bytes", "files: 29"]),
    ("an ELF dump", ELF, 4, ["image without a seal", f"size: {len(ELF)} bytes", "inside: ELF core dump", "judged: complete: ",
                             "machine: x86-64, little endian, 64 bits", "segments: 4", "memory: 3000 bytes", "notes: CORE, QEMU"]),
    ("a model", MODEL, 4, ["image without a seal", "inside: safetensors model", "tensors: 4", "bytes: 40", "types: U8, BF16, F32, F64",
                           "made-by: pt"]),
    ("a checkpoint of PyTorch", TORCH, 4, ["image without a seal", "inside: PyTorch checkpoint", "entries: 11", "bytes: 1325"]),
]


def check_shown():
    for name, content, status, wanted in SHOWN:
        path = os.path.join(work, "shown")
        write(path, content)
        text = subprocess.run([saveseal, "show", path], capture_output=True, text=True, timeout=60)
        words, at = " ".join(text.stdout.split()), 0
        for part in wanted:
            at = words.find(part, at) if at >= 0 else at
        check(f"show: {name}" + ("" if at >= 0 else f": {text.stdout}"), at >= 0 and text.returncode == status)
        data = subprocess.run([saveseal, "show", "--json", path], capture_output=True, timeout=60)
        shown = json.loads(data.stdout)
        facts = [f"{key}: {value}" for key, value in shown["inside"]["facts"].items()]
        missing = [part for part in wanted if part.split(": ")[0] in shown["inside"]["facts"] and
                   not any(fact.startswith(part) for fact in facts)]
        check(f"show: {name}, JSON" + (f": {missing}" if missing else ""), not missing and data.returncode == status and
              shown["kind"] == "image" and ("finding" in shown) == (status == 4))
        shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
    write(path, {"file": b"x"})
    run = subprocess.run([saveseal, "show", path], capture_output=True, text=True, timeout=60)
    check("show: any other directory", run.returncode == 2 and "not-a-file" in run.stderr and not run.stdout)


check_table()
check_sweeps()
check_shown()
check_machine(machine)
sys.exit(1 if failed else 0)
