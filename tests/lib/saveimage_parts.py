"""The parts of a libvirt save image, to take apart and put together again."""
import struct
import subprocess
import zlib

HEADER = 92
FIELDS = {"version": 16, "data_len": 20, "was_running": 24, "format": 28, "cookie": 32, "unused": 36}
PAGE = 4096


def get(image, field):
    return struct.unpack_from("<I", image, FIELDS[field])[0]


def put(image, field, value):
    changed = bytearray(image)
    struct.pack_into("<I", changed, FIELDS[field], value & 0xFFFFFFFF)
    return bytes(changed)


def swapped(image):
    """The header as a host of the other byte order writes it."""
    fields = struct.unpack_from("<5I", image, 16)
    return image[:16] + struct.pack(">5I", *fields) + image[36:]


def stream_at(image):
    return HEADER + get(image, "data_len")


def with_stream(image, stream, kind):
    """The image with another stream, of the kind that format number says."""
    return put(image[:stream_at(image)], "format", kind) + stream


def with_xml(image, xml):
    """The image with another domain XML, which must fit."""
    old, cookie = get(image, "cookie"), image[HEADER:stream_at(image)]
    rest = cookie[old:]
    body = (xml + b"\0" + rest[:rest.index(b"\0") + 1]).ljust(len(cookie), b"\0")
    return put(image[:HEADER], "cookie", len(xml) + 1) + body + image[stream_at(image):]


class Stream:
    """Where things are in a QEMU stream."""

    def __init__(self, data):
        self.data = data
        self.description = self._find_description()
        at = 8
        self.configuration = at
        at += 5 + struct.unpack_from(">I", data, at + 1)[0]
        self.start = at
        at += 6 + data[at + 5] + 8
        self.setup, self.total = at, struct.unpack_from(">Q", data, at)[0] & -PAGE
        self.setup_end, self.blocks = self._blocks(at + 8)
        self.pages = []  # where each record of a page begins, and its flags
        at = self.setup_end + 5
        while data[at] in (2, 3):
            last = data[at] == 3
            at = self._pages(at + 5)
            self.footer = at
            at += 5
            if last:
                break
        self.devices = at

    def _find_description(self):
        at = self.data.rfind(b"\0\6")
        while at + 6 + struct.unpack_from(">I", self.data, at + 2)[0] != len(self.data):
            at = self.data.rfind(b"\0\6", 0, at + 1)
        return at

    def _blocks(self, at):
        left, blocks = self.total, []
        while left > 0:
            length = self.data[at]
            blocks.append((self.data[at + 1:at + 1 + length], struct.unpack_from(">Q", self.data, at + 1 + length)[0]))
            left -= blocks[-1][1]
            at += 9 + length
        return at + 8, blocks

    def _pages(self, at):
        while True:
            flags = struct.unpack_from(">Q", self.data, at)[0] % PAGE
            if flags == 0x10:
                return at + 8
            self.pages.append((at, flags))
            at += 8
            if not flags & 0x20:
                at += 1 + self.data[at]
            at += 1 if flags & 2 else PAGE

    def full_page(self, n):
        """The nth record that holds a whole page and goes on in its block."""
        return [at for at, flags in self.pages if flags == 0x28][n]


CAPABILITIES = b"\5\x1aconfiguration/capabilities" + struct.pack(">II", 1, 1) + b"\x0amapped-ram"


def mapped(stream, start, change=None, capabilities=CAPABILITIES):
    """The stream as mapped-ram, to lie at start in its file. change(block, head) may alter a head (version, page size,
    offset of the bitmap, of the pages)."""
    data = stream.data
    blocks = [(name, min(used, 64 * PAGE)) for name, used in stream.blocks[:2]]
    out = bytearray(data[:stream.start] + capabilities + data[stream.start:stream.setup]) + struct.pack(">Q", sum(used for _, used in blocks) + 4)
    for n, (name, used) in enumerate(blocks):
        out += bytes([len(name)]) + name + struct.pack(">Q", used)
        bitmap = start + len(out) + 28
        size = (used // PAGE + 63) // 64 * 8
        pages = -(-(bitmap + size) // (1 << 20)) * (1 << 20)
        head = (1, PAGE, bitmap, pages)
        out += struct.pack(">IQQQ", *(change(n, head) if change else head))
        out += b"\xff" * min(size, 8)
        out += bytes(pages - start - len(out)) + bytes(used)
    number = data[stream.start + 1:stream.start + 5]
    footer = b"\x7e" + number
    end = struct.pack(">Q", 0x10)
    out += end + footer + b"\3" + number + end + footer
    return bytes(out + data[stream.devices:])


def lzop(data, block=65536, flags=1):
    """What lzop writes when nothing can be compressed."""
    fields = struct.pack(">HHHBBIIIIB", 0x1030, 0x20a0, 0x0940, 1, 5, flags, 0o100600, 0, 0, 0)
    out = b"\x89LZO\0\r\n\x1a\n" + fields + struct.pack(">I", zlib.adler32(fields))
    for at in range(0, len(data), block):
        part = data[at:at + block]
        out += struct.pack(">II", len(part), len(part))
        if flags & 1:
            out += struct.pack(">I", zlib.adler32(part))
        out += part
    return out + bytes(4)


def zstd(data):
    """As libvirt 10.4 and later has it done."""
    return subprocess.run(["zstd", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout
