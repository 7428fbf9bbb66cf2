#!/usr/bin/env python3
"""saveimages.py SAVESEAL IMAGES WORK [VIRSH...]: damages the save images that a real libvirt made (IMAGES/raw.save, gzip.save,
bzip2.save, xz.save, lzop.save), in every field, at every boundary, and asks saveseal, by what is in them and deep, and virsh, if it is
given, whether it can read the header and the XML. What saveseal calls good must be good for libvirt, too."""
import bz2
import gzip
import json
import lzma
import os
import re
import struct
import subprocess
import sys
import zlib

from saveimage_parts import (HEADER, PAGE, Stream, get, lzop, mapped, put, stream_at, swapped, with_stream, with_xml, zstd)

saveseal, images, work = sys.argv[1:4]
virsh = sys.argv[4:]
EXITS = {"complete": 0, "end-unproven": 4, "unsealed": 4, "format-unsupported": 4}  # all others: 1
GOOD, BAD, UNASKED = "good", "bad", None


def load(name):
    with open(os.path.join(images, name + ".save"), "rb") as file:
        return file.read()


RAW, PACKED = load("raw"), {name: load(name) for name in ("gzip", "bzip2", "xz")}
at = stream_at(RAW)
STREAM = Stream(RAW[at:])
XML = RAW[HEADER:HEADER + get(RAW, "cookie") - 1]
COOKIE = HEADER + get(RAW, "cookie")
END = len(RAW)


def over(data, where, new):
    return data[:where] + new + data[where + len(new):]


def flip(data, where, mask=0x10):
    return over(data, where, bytes([data[where] ^ mask]))


def cut_at(data, end):
    """Where what is left does not happen to end as lzop data does."""
    while data[end - 4:end] == bytes(4):
        end -= 1
    return data[:end]


def stream(where, new):
    """RAW with these bytes in its stream."""
    return over(RAW, at + where, new)


rows = []  # name, bytes, what deep finds, what is found otherwise (None: the same), what virsh thinks of header and XML


def row(name, data, deep, shallow=None, theirs=GOOD):
    rows.append((name, data, deep, shallow or ("unsealed" if EXITS.get(deep, 1) != 1 else deep), theirs))


def header_rows():
    row("raw", RAW, "complete")
    row("other byte order", swapped(RAW), "complete")
    for version in (0, 1):
        row(f"version {version}", put(RAW, "version", version), "complete")
        row(f"version {version} ignores the format", put(put(RAW, "version", version), "format", 9), "complete")
        row(f"version {version} knows no gzip", put(PACKED["gzip"], "version", version), "stream-damaged")
    for version in (3, 0x300, 0xFFFFFFFF):
        row(f"version {version:#x}", put(RAW, "version", version), "format-unsupported", theirs=BAD)
    row("partial", b"LibvirtQemudPart" + RAW[16:], "format-incomplete", theirs=BAD)
    row("partial, other byte order", b"LibvirtQemudPart" + swapped(RAW)[16:], "format-incomplete", theirs=BAD)
    for place in (0, 7, 15):
        row(f"magic, byte {place}", flip(RAW, place), "end-unproven", theirs=BAD)
    data_len = get(RAW, "data_len")
    for value in (0, END - HEADER + 1, 0x7FFFFFFF, 0xFFFFFFFF):
        row(f"data length {value:#x}", put(RAW, "data_len", value), "format-incomplete", theirs=BAD)
    row("data length is all", put(RAW, "data_len", END - HEADER), "stream-damaged")
    for change in (-1, 1, -65536, 256):
        row(f"data length {change:+}", put(RAW, "data_len", data_len + change), "stream-damaged")
    row("was running: no", put(RAW, "was_running", 0), "complete")
    for value in (2, 0x01000000, 0xFFFFFFFF):
        row(f"was running: {value:#x}", put(RAW, "was_running", value), "header-damaged")
    for value in (7, 8, 0x100, 0xFFFFFFFF):
        row(f"format {value:#x}", put(RAW, "format", value), "format-unsupported", theirs=UNASKED)
    for value in (1, 2, 3, 4, 5, 6):
        row(f"format {value}, but raw", put(RAW, "format", value), "stream-damaged",
            theirs=GOOD if value < 5 else UNASKED)
    row("format 0, but gzip", put(PACKED["gzip"], "format", 0), "stream-damaged")
    cookie = get(RAW, "cookie")
    for value in (data_len + 1, 0x7FFFFFFF, 0xFFFFFFFF):  # which would be the end of libvirtd
        row(f"cookie offset {value:#x}", put(RAW, "cookie", value), "format-incomplete", theirs=UNASKED)
    row("cookie offset is all", put(RAW, "cookie", data_len), "complete")
    row("no cookie", put(RAW, "cookie", 0), "complete")
    for value in (cookie + 1, cookie + 7, data_len - 5):
        row(f"cookie offset {value:#x}", put(RAW, "cookie", value), "description-damaged")  # dumpxml reads no cookie
    for value in (1, 10, cookie - 1):  # libvirt then reads past the end of a string
        row(f"cookie offset {value:#x}", put(RAW, "cookie", value), "description-damaged", theirs=UNASKED)
    for place in (36, 60, 88):
        row(f"unused field, byte {place}", flip(RAW, place, 0xFF), "complete")


def xml_rows():
    row("padding", over(RAW, at - 100, b"<x>"), "complete")
    row("another name", with_xml(RAW, XML.replace(b"<name>vm1<", b"<name>other<")), "complete")
    row("a line of 600 equals signs in its description",
        with_xml(RAW, XML.replace(b"</name>", b"</name><description>" + b"=" * 600 + b" a='&gt;'</description>")), "complete")
    row("the same in a comment, behind an apostrophe",
        with_xml(RAW, XML.replace(b"</name>", b"</name><!-- it's " + b"='" * 600 + b" -->")), "complete")
    row("an element of 600 attributes, with > in their values",
        with_xml(RAW, XML.replace(b"</name>", b"</name><a " + b"".join(b"a%d='>' " % n for n in range(600)) + b"/>")),
        "description-damaged", theirs=UNASKED)
    for what, new in {
        "another root": XML.replace(b"domain", b"domaim"),
        "no XML": b"hello",
        "nothing": b"",
        "a control character": XML.replace(b"<name>", b"\1<name>"),
        "no UTF-8": XML.replace(b"<name>vm1", b"<name>\xff\xfe"),
        "no name": XML.replace(b"<name>vm1</name>", b""),
        "no type": XML.replace(b"type='", b"typf='", 1),
        "an element is not closed": XML.replace(b"</name>", b""),
        "cut in the middle": XML[:len(XML) // 2],
        "something after its end": XML + b"<more/>",
        "an entity that is not known": XML.replace(b"<name>vm1", b"<name>&vm1;"),
    }.items():
        row(f"XML: {what}", with_xml(RAW, new), "description-damaged", theirs=BAD)
    row("XML: zeros in it", over(RAW, HEADER + 64, bytes(64)), "description-damaged", theirs=BAD)
    row("XML: zeros from it on", over(RAW, HEADER, bytes(at - HEADER)), "description-damaged", theirs=BAD)
    row("XML: no end", over(RAW, HEADER, b"<domain>" + b" " * (at - HEADER - 8)), "description-damaged", theirs=UNASKED)
    row("cookie: not closed", over(RAW, COOKIE + RAW[COOKIE:].index(b"</cookie>"), b"         "),
        "description-damaged")
    row("cookie: zeros", over(RAW, COOKIE, bytes(40)), "description-damaged")
    row("cookie: another root", over(over(RAW, COOKIE, b"<cookif>"), COOKIE + RAW[COOKIE:].index(b"</cookie>"),
                                     b"</cookif>"), "description-damaged")


def cut_rows():
    row("cut: empty", b"", "end-unproven", theirs=BAD)
    row("cut: in the magic", RAW[:10], "end-unproven", theirs=BAD)
    for length in (16, 17, 50, HEADER - 1, HEADER, HEADER + 100, COOKIE, COOKIE + 5, at - 1):
        in_padding = length > COOKIE + 5
        row(f"cut to {length}", RAW[:length], "format-incomplete", theirs=BAD)
        if length == at - 1:
            assert in_padding
    s = STREAM
    for what, length in {
        "before the stream": 0, "in its magic": 2, "in its version": 6, "before its sections": 8, "in the machine's name": 12,
        "before the memory": s.start, "in the list of blocks": s.setup + 20, "before the pages": s.setup_end,
        "in a page": s.full_page(20) + 2000, "between pages": s.full_page(40), "at a page's length": s.full_page(40) + 8,
        "before the last footer of the memory": s.footer, "before the devices": s.devices,
        "in the devices": (s.devices + s.description) // 2, "before the end mark": s.description,
        "in the description's head": s.description + 3, "in the description": s.description + 1000,
        "before its last byte": len(s.data) - 1,
    }.items():
        row(f"cut: {what}", RAW[:at + length], "stream-damaged")
    row("cut: before the description", RAW[:at + s.description + 1], "end-unproven")


def stream_rows():
    s = STREAM
    unseen = "unsealed"  # by the ends of the stream alone
    row("stream: no magic", stream(0, b"QEVN"), "stream-damaged")
    row("stream: version 2", stream(7, b"\2"), "format-unsupported")
    row("stream: no section", stream(8, b"\0"), "stream-damaged")
    row("stream: zeros at its beginning", stream(0, bytes(4096)), "stream-damaged")
    row("memory: zeros behind the list of blocks", stream(s.setup_end - 8, bytes(8)), "stream-damaged", unseen)
    page = s.full_page(30)
    for what, where, new in (
            ("8 KiB of zeros", page - 2000, bytes(8192)), ("64 KiB of zeros", page - 100, bytes(65536)),
            ("a head of zeros", page, bytes(8)), ("an offset past its block", page + 2, b"\xff"),
            ("an offset past any memory", page, b"\xff"), ("two kinds at once", page + 7, b"\x2a"),
            ("a footer", s.footer, b"\x7f"), ("the number in a footer", s.footer + 4, b"\x77"),
            ("the end of the section", s.footer - 1, b"\0"),
            ("no section after it", s.setup_end + 5, b"\x66"),
    ):
        row(f"memory: {what}", stream(where, new), "stream-damaged", unseen)
    named = next(p for p, flags in s.pages if not flags & 0x20)
    row("memory: a block that is not there", stream(named + 10, b"?"), "stream-damaged", unseen)
    row("memory: bytes are missing", RAW[:at + page + 100] + RAW[at + page + 200:], "stream-damaged", unseen)
    row("memory: a page is missing its head", RAW[:at + page] + RAW[at + page + 8:], "stream-damaged", unseen)
    row("memory: bytes too many", RAW[:at + page + 100] + b"?" * 10 + RAW[at + page + 100:], "stream-damaged", unseen)
    row("memory: one bit of a page, which nothing guards", flip(RAW, at + page + 1000), "complete")
    device = s.data.index(b"globalstate", s.devices)
    row("devices: zeros", stream(device - 20, bytes(64)), "stream-damaged", unseen)
    row("devices: another name", stream(device, b"G"), "stream-damaged", unseen)
    row("devices: all gone", RAW[:at + s.devices] + RAW[at + s.description - 5:], "stream-damaged", unseen)
    row("description: zeros", stream(s.description + 2000, bytes(512)), "stream-damaged")
    row("description: its length", stream(s.description + 4, b"\0"), "stream-damaged")
    row("description: the footer before it", stream(s.description - 5, b"\0"), "stream-damaged")
    row("a byte too many", RAW + b"?", "end-unproven")
    row("a MiB of zeros too many", RAW + bytes(1 << 20), "end-unproven")


def packed_rows():
    pack = {"gzip": lambda data: gzip.compress(data, 1), "bzip2": lambda data: bz2.compress(data, 1), "xz": lambda data: lzma.compress(data, preset=0), "zstd": zstd, "lzop": lzop}
    kinds = {"gzip": 1, "bzip2": 2, "xz": 3, "lzop": 4, "zstd": 5}
    for kind, number in kinds.items():
        ends = kind in ("bzip2", "xz", "lzop")  # there is a mark at the end that is looked for
        unseen = "unsealed"
        cut = None if ends else unseen
        theirs = GOOD if number < 5 else UNASKED  # libvirt 10.4 knows zstd
        image = PACKED[kind] if kind in PACKED else with_stream(RAW, pack[kind](STREAM.data), number)
        begin, middle = stream_at(image), (stream_at(image) + len(image)) // 2
        short = STREAM.data[:STREAM.full_page(50)]

        def packed_row(what, data, deep, shallow=None):
            row(f"{kind}: {what}", data, deep, shallow, theirs)

        packed_row("good", image, "complete")
        packed_row("other byte order", swapped(image), "complete")
        packed_row("nothing", image[:begin], "stream-damaged")
        packed_row("one byte", image[:begin + 1], "stream-damaged")
        packed_row("only the magic", image[:begin + 4], "stream-damaged", cut)
        packed_row("cut in the middle", cut_at(image, middle), "stream-damaged", cut)
        packed_row("cut by 64 KiB", cut_at(image, len(image) - 65536), "stream-damaged", cut)
        packed_row("cut by a byte", image[:-1], "stream-damaged", cut if kind != "lzop" else None)
        packed_row("zeros from the middle on", image[:middle] + bytes(len(image) - middle), "stream-damaged",
                   cut if kind != "lzop" else unseen)
        packed_row("another magic", flip(image, begin + 1), "stream-damaged")
        packed_row("bytes too many", image + b"????" * 4, "stream-damaged", cut)
        packed_row("a bit in the middle", flip(image, middle), "stream-damaged", unseen)
        packed_row("zeros in the middle", over(image, middle, bytes(8192)), "stream-damaged", unseen)
        for what, data in (("whose stream was cut", short), ("of no stream", b"hello" * 100),
                           ("with a hole in its stream", over(STREAM.data, STREAM.full_page(30), bytes(8))),
                           ("with something behind its stream", STREAM.data + b"more")):
            packed_row(what, with_stream(RAW, pack[kind](data), number),
                       "end-unproven" if "behind" in what else "stream-damaged", unseen)
        packed_row("of nothing", with_stream(RAW, pack[kind](b""), number), "stream-damaged",
                   unseen)
    two = with_stream(RAW, gzip.compress(STREAM.data[:70000]) + gzip.compress(STREAM.data[70000:]), 1)
    row("gzip: of two members", two, "complete")
    row("gzip: twice", with_stream(RAW, gzip.compress(gzip.compress(STREAM.data)), 1), "stream-damaged", "unsealed")
    row("xz: twice", with_stream(RAW, lzma.compress(pack["xz"](STREAM.data), preset=0), 3), "stream-damaged", "unsealed")


def lzop_rows():
    """Of the program lzop, which compresses, and has checksums only of what is in the blocks: a decompressor has to look."""
    image = load("lzop")
    assert get(image, "format") == 4
    begin = stream_at(image)
    row("real lzop: good", image, "complete")
    row("real lzop: cut in the middle", cut_at(image, (begin + len(image)) // 2), "stream-damaged")
    row("real lzop: cut by a byte", image[:-1], "stream-damaged", "unsealed")
    row("real lzop: without its last block", image[:-2000] + bytes(4), "stream-damaged", "unsealed")
    row("real lzop: a block's length", flip(image, begin + image[begin:].index(b"\0\4\0\0") + 5), "stream-damaged", "unsealed")
    row("real lzop: bytes too many", image + b"????" * 4, "stream-damaged")
    for part in range(1, 40):
        row(f"real lzop: a bit at {part}/40", flip(image, begin + (len(image) - begin) * part // 40), "stream-damaged", "unsealed")
    header, end = begin + 9, begin + 9 + 25 + image[begin + 9 + 24]
    fields = image[header:end]

    def with_header(new):
        return image[:header] + new + struct.pack(">I", zlib.adler32(new)) + image[end + 4:]
    row("real lzop: the same header", with_header(fields), "complete")
    row("real lzop: a way of packing that is not known", with_header(over(fields, 6, b"\x80")), "format-unsupported", "unsealed")
    filtered = over(fields, 10, bytes([fields[10] | 8]))
    row("real lzop: with a filter", with_header(filtered[:12] + bytes(4) + filtered[12:]), "format-unsupported", "unsealed")
    row("real lzop: blocks of 60 MiB", over(image, image.index(b"\0\4\0\0", begin), b"\3\xc0\0\0"), "format-unsupported", "unsealed")


def mapped_rows():
    start = at

    def sparse(change=None):
        return with_stream(RAW, mapped(STREAM, start, change), 6)

    def field(n, value, which=0):
        return sparse(lambda block, head: head if block != which else head[:n] + (value,) + head[n + 1:])

    good, unseen = sparse(), None
    ram_end = start + len(mapped(STREAM, start)) - (len(STREAM.data) - STREAM.devices)
    row("sparse: good", good, "complete", theirs=UNASKED)
    row("sparse, called raw", put(good, "format", 0), "complete")
    row("sparse, called raw, its first head lost", put(field(1, 0), "format", 0), "stream-damaged", unseen)
    row("sparse, without capabilities", with_stream(RAW, mapped(STREAM, start, None, b""), 6), "complete", theirs=UNASKED)
    row("sparse: another version", field(0, 2), "format-unsupported", "unsealed", theirs=UNASKED)
    for n, value, what in ((0, 0, "no version"), (1, 0, "pages of no size"), (1, 4097, "pages of an odd size"),
                           (2, 5, "a bitmap before it"), (2, 1 << 40, "a bitmap past the file"),
                           (2, (1 << 64) - 1, "a bitmap at the last byte there is"), (3, 1 << 40, "pages past the file"),
                           (3, (1 << 64) - PAGE, "pages at the last byte there is"), (3, 10, "pages before it"),
                           (3, (1 << 20) + 1, "pages at an odd place"), (1, 8192, "pages of a size that the machine has not")):
        row(f"sparse: {what}", field(n, value), "stream-damaged", unseen, UNASKED)
    row("sparse: a block of memory without a head", field(0, 0, 1), "stream-damaged", unseen, UNASKED)
    name = good.index(b"pc.ram", start)
    row("sparse: a block of memory without a name", over(good, name - 1, b"\0"), "stream-damaged", unseen, UNASKED)
    row("sparse: a block larger than all memory", over(good, name + 6, b"\7"), "stream-damaged", unseen, UNASKED)
    row("sparse: cut in the pages", good[:start + (3 << 19)], "stream-damaged", unseen, UNASKED)
    row("sparse: cut behind them", good[:ram_end], "stream-damaged", unseen, UNASKED)
    row("sparse: no sections behind the pages", over(good, ram_end - 30, bytes(30)), "stream-damaged", unseen, UNASKED)


def plain_rows():
    s = STREAM.data
    for what, data, deep, shallow in (
            ("good", s, "complete", None), ("cut", s[:-1], "stream-damaged", None),
            ("cut in half", s[:len(s) // 2], "stream-damaged", None), ("its header alone", s[:8], "stream-damaged", None),
            ("its magic alone", s[:4], "end-unproven", None), ("version 4", over(s, 7, b"\4"), "format-unsupported", None),
            ("a hole", over(s, STREAM.full_page(9), bytes(4096)), "stream-damaged", "unsealed"),
            ("more", s + b"x", "end-unproven", None),
            ("a machine that does not name itself, cut", s[:8] + s[STREAM.start:-1], "end-unproven", None)):
        row(f"plain: {what}", data, deep, shallow, UNASKED)


def ask_us(*options):
    """What saveseal finds in each row: a list of (finding, exit, detail)."""
    run = subprocess.run([saveseal, "verify", "--json", *options, *(path(n) for n in range(len(rows)))], capture_output=True,
                         timeout=300)
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    if run.stderr or len(lines) < len(rows):
        sys.exit(f"saveseal verify {options}: status {run.returncode}: {run.stderr.decode(errors='replace')[:2000]}")
    return [(line["finding"], line["exit"], line.get("detail", "")) for line in lines[:len(rows)]]


def ask_virsh(numbers, command, after=""):
    """What virsh says against doing command with each of these rows: by number, "" is good."""
    commands = "".join(f"echo --err row {n}\n{command} {path(n)}\necho --err row -\n{after}\n" for n in numbers)
    run = subprocess.run(virsh, input=commands.encode(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=300)
    said = re.split(r"^error: row (\d+|-)$", run.stderr.decode(errors="replace"), flags=re.M)
    answers = {int(n): text.strip() for n, text in zip(said[1::2], said[2::2]) if n != "-"}
    if sorted(answers) != sorted(numbers):
        sys.exit(f"virsh answered {len(answers)} of {len(numbers)}: {run.stderr[-500:]}")
    return answers


def compare_headers():
    """With virsh, which reads header and XML, but no cookie. Returns what is refused here and not there."""
    stricter = []
    for n, said in ask_virsh([n for n, this in enumerate(rows) if this[4] is not UNASKED], "save-image-dumpxml").items():
        name, want = rows[n][0], rows[n][4]
        if (said == "") != (want == GOOD):
            wrong.append(f"{name}: virsh says {said[:200]}")
        if said and deep[n][1] == 0:
            wrong.append(f"{name}: good, but virsh says {said[:200]}")
        if not said and deep[n][0] in ("header-damaged", "description-damaged", "format-incomplete"):
            stricter.append(name)
    return stricter


def compare_restores():
    """What only a restore tells; some, for it takes long."""
    want = {"other byte order": GOOD, "cookie: another root": BAD, "gzip: bytes too many": BAD, "devices: zeros": BAD}
    numbers = {n: this[0] for n, this in enumerate(rows) if this[0] in want}
    for n, said in ask_virsh(numbers, "restore", "destroy vm1").items():
        if (said == "") != (want[numbers[n]] == GOOD) or (said == "") != (deep[n][1] == 0):
            wrong.append(f"restore, {numbers[n]}: {deep[n][0]}, virsh says {said[:200]}")


def path(n):
    return os.path.join(work, f"{n}.save")


header_rows()
xml_rows()
cut_rows()
stream_rows()
packed_rows()
lzop_rows()
mapped_rows()
plain_rows()
for n, this in enumerate(rows):
    with open(path(n), "wb") as file:
        file.write(this[1])
wrong, stricter = [], []
deep, shallow = ask_us("--deep"), ask_us()
for n, (name, data, want_deep, want_shallow, want_theirs) in enumerate(rows):
    for level, want, (finding, status, detail) in (("deep", want_deep, deep[n]), ("not deep", want_shallow, shallow[n])):
        if finding != want or status != EXITS.get(want, 1):
            wrong.append(f"{name}, {level}: {finding} ({detail}), exit {status}, not {want}")
if virsh:
    stricter = compare_headers()
    compare_restores()
for n in range(len(rows)):
    os.unlink(path(n))
print("\n".join("# " + line for line in wrong))
print(f"# {len(rows)} images, {len(wrong)} wrong; refused here and not by virsh: {stricter}")
sys.exit(1 if wrong else 0)
