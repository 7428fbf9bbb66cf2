"""Small images in the formats of other savers, written as their documentation says. Each function returns the bytes of a
file, or for a directory a dict of names."""
import io
import json
import struct
import zipfile

PAGE = 4096


# ---- ELF ----


def elf(bits=64, order="<", segments=3, extended=False, sections=True, size=1000):
    """A core file. Its segments: one of notes, then memory of size bytes each; extended: their number is in section 0."""
    wide = bits == 64
    ehdr, phdr, shdr = (64, 56, 64) if wide else (52, 32, 40)
    name = b"\0.shstrtab\0"
    notes = b"".join(note(order, n, b"x" * 20) for n in (b"CORE", b"QEMU", b"VMCOREINFO"))
    phoff = ehdr + (2 * shdr if sections or extended else 0)
    at = phoff + (1 + segments) * phdr
    rows, memory = [(4, at, len(notes), 0)], []
    at += len(notes)
    for i in range(segments):
        rows.append((1, at, size, i * 0x100000))
        memory.append(bytes([65 + i % 26]) * size)
        at += size
    shnum = (2 if sections else 1) if sections or extended else 0
    word = "Q" if wide else "I"
    head = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    head += struct.pack(order + "HHI" + word * 3 + "I6H", 4, 62 if order == "<" else 22, 1, 0, phoff, ehdr if shnum else 0, 0,
                        ehdr, phdr, 0xFFFF if extended else len(rows), shdr if shnum else 0, shnum, shnum and shnum - 1)
    table = b""
    if shnum:
        table += struct.pack(order + "II" + word * 4 + "II" + word * 2, 0, 0, 0, 0, 0, 0, 0, len(rows) if extended else 0, 0, 0)
    if sections:
        table += struct.pack(order + "II" + word * 4 + "II" + word * 2, 1, 3, 0, 0, at, len(name), 0, 0, 0, 0)
    elif extended:
        table += bytes(shdr)
    if wide:
        segments = [struct.pack(order + "IIQQQQQQ", kind, 0, off, place, place, length, length, 0) for kind, off, length, place in rows]
    else:
        segments = [struct.pack(order + "IIIIIIII", kind, off, place, place, length, length, 0, 0) for kind, off, length, place in rows]
    return head + table + b"".join(segments) + notes + b"".join(memory) + (name if sections else b"")


def note(order, name, content):
    pad = lambda data: data + bytes(-len(data) % 4)
    return struct.pack(order + "III", len(name) + 1, len(content), 1) + pad(name + b"\0") + pad(content)


# ---- kdump ----


def kdump_header(bits=64, order="<", pages=8, status=1):
    head = b"KDUMP   " + struct.pack(order + "i", 6)
    head += b"".join(field.ljust(65, b"\0") for field in (b"Linux", b"vm1", b"6.1", b"#1", b"x86_64", b""))
    head += bytes(22 if bits == 64 else 10)
    return head + struct.pack(order + "IIIIIIIIIi", status, PAGE, 1, 2, pages, 0, 0, 0, 0, 1)


def kdump_sub(bits, order, pages, split=0, notes=(0, 0)):
    if bits == 64:
        return struct.pack(order + "QIIQQ6Q3Q", 0, 1, split, 0, 0, 0, 0, *notes, 0, 0, 0, pages, pages)
    return struct.pack(order + "IIIII", 0, 1, split, 0, 0).ljust(104, b"\0")


def kdump(bits=64, order="<", pages=8, split=0, status=1):
    """The bare format: a header, one more, two bitmaps, a table of pages, the pages."""
    notes = note(order, b"CORE", b"regs")
    bitmap = (b"\xff" * (pages // 8) + bytes([(1 << pages % 8) - 1])).ljust(PAGE, b"\0")
    table_at = 4 * PAGE
    contents = [bytes([i % 256]) * (100 + i % 1000) for i in range(pages)]
    at, table = table_at + pages * 24, b""
    for content in contents:
        table += struct.pack(order + "QIIQ", at, len(content), 1, 0)
        at += len(content)
    sub = kdump_sub(bits, order, pages, split, (PAGE + 200, len(notes)))
    head = kdump_header(bits, order, pages, status).ljust(PAGE, b"\0") + (sub.ljust(200, b"\0") + notes).ljust(PAGE, b"\0")
    return head + bitmap * 2 + table + b"".join(contents)


def flatten(data, piece=3000):
    """The flattened format of a bare file."""
    flat = (b"makedumpfile".ljust(16, b"\0") + struct.pack(">qq", 1, 1)).ljust(4096, b"\0")
    for at in range(0, len(data), piece):
        flat += struct.pack(">qq", at, len(data[at:at + piece])) + data[at:at + piece]
    return flat + struct.pack(">qq", -1, -1)


def unflatten(flat):
    """The other way round."""
    data, at = bytearray(), 4096
    while True:
        off, length = struct.unpack_from(">qq", flat, at)
        if off == -1:
            return bytes(data)
        at += 16
        data.extend(bytes(max(0, off + length - len(data))))
        data[off:off + length] = flat[at:at + length]
        at += length


# ---- CRIU ----


def varint(value):
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def message(*fields):
    """fields: (number, int or bytes)."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def image(magic, *records, extras=None):
    out = struct.pack("<I", magic) if magic == 0x58313116 else struct.pack("<II", 0x54564319, magic)
    for i, record in enumerate(records):
        out += struct.pack("<I", len(record)) + record + (extras[i] if extras else b"")
    return out


def criu(pre_dump=False, parent=False):
    """A process with a thread, and its child; their memory of 5 and 2 pages."""
    core = lambda state: image(0x55053847, message((1, 1), (2, message((1, 4096), (2, b"registers"))),
                                                   *(((3, message((1, state), (4, 0), (6, b"comm"))),) if state else ())))
    ids = lambda files: image(0x54432030, message((1, 1), (2, files), (3, 1), (4, 1)))
    pagemap = lambda number, *entries: image(0x56084025, message((1, number)), *(message(*e) for e in entries))
    one = pagemap(1, ((1, 0x400000), (2, 3), (4, 4)), ((1, 0x500000), (2, 9), (4, 1 if parent else 2)),
                  ((1, 0x7F0000000000), (2, 2), (4, 4), (5, 2)))
    files = {
        "inventory.img": image(0x58313116, message((1, 2), (2, 1), *(((9, 1),) if pre_dump else ()))),
        "pagemap-10.img": one,
        "pages-1.img": bytes([1]) * 5 * PAGE,
        "pagemap-12.img": pagemap(2, ((1, 0x400000), (2, 2), (3, 0))),
        "pages-2.img": bytes([2]) * 2 * PAGE,
        "stats-dump": b"anything",
        "dump.log": b"a log",
    }
    if pre_dump:
        return files
    return files | {
        "pstree.img": image(0x50273030, message((1, 10), (2, 0), (3, 10), (4, 10), (5, 10), (5, 11)),
                            message((1, 12), (2, 10), (3, 10), (4, 10), (5, 12)), message((1, 13), (2, 10), (5, 13))),
        "core-10.img": core(1), "core-11.img": core(0), "core-12.img": core(3), "core-13.img": core(6),
        "ids-10.img": ids(1), "ids-12.img": ids(2), "ids-13.img": ids(3),
        "fdinfo-1.img": image(0x56213732, message((1, 1), (2, 0))), "fdinfo-2.img": image(0x56213732),
        "mm-10.img": image(0x57492820, message((1, 0x400000), (12, 3), (14, b"vma"))),
        "mm-12.img": image(0x57492820, message((1, 0x400000))),
        "fs-10.img": image(0x51403912, message((1, 1), (2, 2))), "fs-12.img": image(0x51403912, message((1, 1), (2, 2))),
        "files.img": image(0x56303138, message((1, 1), (2, 1), (3, b"path")), message((1, 2), (2, 2))),
        "pipes-data.img": image(0x56453709, message((1, 7), (2, 5)), message((1, 8), (2, 0)), extras=[b"hello", b""]),
        "tcp-stream-1f.img": image(0x51465506, message((1, 3), (2, 9), (3, 4), (4, 9)), extras=[b"inqoutq"]),
        "ipcns-shm-9.img": image(0x46283044, message((1, b""), (2, 6)), message((1, b""), (2, 6), (3, 1)), extras=[b"shared\0\0", b""]),
        "ipcns-sem-9.img": image(0x59573019, message((1, b""), (2, 3)), extras=[b"aabbcc\0\0"]),
        "ipcns-msg-9.img": image(0x55453737, message((1, b""), (2, 99), (3, 2)), extras=[
            b"".join(struct.pack("<I", len(m)) + m + b"text\0\0\0\0" for m in [message((1, 1), (2, 4))] * 2)]),
        "ghost-file-1.img": image(0x52583605, message((1, 0), (2, 0), (3, 0o100644)), extras=[b"the rest of the file"]),
        "ghost-file-2.img": image(0x52583605, message((1, 0), (2, 0), (3, 0o100644), (9, 1), (10, 9)),
                                  message((1, 4), (2, 0)), message((1, 2), (2, 7)), extras=[b"", b"four", b"tw"]),
        "route-9.img": b"",
        "iptables-9.img": b"# written by another program",
    }


# ---- models ----


def safetensors(tensors=((("F32", [2, 3], 24)), ("BF16", [4], 8), ("F64", [], 8), ("U8", [0], 0)), metadata=True, pad=True):
    table, at = {"__metadata__": {"format": "pt", "é": "\u00e9\0"}} if metadata else {}, 0
    for i, (dtype, shape, size) in enumerate(tensors):
        table[f"layer.{i}.weight"] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    return raw_safetensors(json.dumps(table), bytes(range(at % 256)) + bytes(at - at % 256), pad)


def raw_safetensors(text, data, pad=True):
    text = text.encode()
    text += b" " * (-len(text) % 8 if pad else 0)
    return struct.pack("<Q", len(text)) + text + data


def zipped(names=("archive/data.pkl", "archive/data/0", "archive/version"), large=False, method=zipfile.ZIP_STORED, comment=b"",
           stream=False):
    """large: with the end record of 64 bits and such sizes in the local headers; stream: sizes after the content."""

    class Pipe(io.RawIOBase):
        def __init__(self):
            self.data = b""

        def writable(self):
            return True

        def write(self, data):
            self.data += bytes(data)
            return len(data)

    out, limit = Pipe() if stream else io.BytesIO(), zipfile.ZIP_FILECOUNT_LIMIT
    zipfile.ZIP_FILECOUNT_LIMIT = 0 if large else limit
    try:
        with zipfile.ZipFile(out, "w", method) as archive:
            for i, name in enumerate(names):
                info = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
                info.compress_type = method
                with archive.open(info, "w", force_zip64=large) as file:
                    file.write(bytes([97 + i % 26]) * (50 + i % 100))
            archive.comment = comment
    finally:
        zipfile.ZIP_FILECOUNT_LIMIT = limit
    return out.data if stream else out.getvalue()
