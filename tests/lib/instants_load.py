"""The programs that make the load of instants: writers and readers, the versions they write, and what they note of it."""
import errno
import hashlib
import mmap
import os
import random
import re
import struct
import time
import traceback

WRITERS, READERS = 3, 2
NAMES = ["shared"] + [f"w{slot}.{kind}" for slot in range(WRITERS) for kind in ("a", "b", "tmp", "save")]
CHUNK = 16384
GONE = (errno.ENOTCONN, errno.ECONNABORTED)
now = time.monotonic

# --- versions ---


def group(version, size):
    """Bytes that prove which version they are, and that they are all there."""
    body = (hashlib.sha256(str(version).encode()).hexdigest().encode() * (size // 64 + 1))[:size]
    return b"B %d %d %s\n" % (version, size, hashlib.sha256(body).hexdigest().encode()) + body + b"E %d\n" % version


HEAD = re.compile(rb"B (\d+) (\d+) ([0-9a-f]{64})\n")


def version_of(content):
    """The version, or what is wrong."""
    at, version = 0, None
    if content.startswith(b"Libvirt"):
        if not content.startswith(b"LibvirtQemudSave"):
            return "a libvirt image that is not complete"
        at = 92
    while at < len(content):
        head = HEAD.match(content, at)
        if not head:
            return f"no whole version: garbage at {at} of {len(content)}"
        version, size = int(head[1]), int(head[2])
        body = content[head.end():head.end() + size]
        tail = b"E %d\n" % version
        if hashlib.sha256(body).hexdigest().encode() != head[3] or content[head.end() + size:][:len(tail)] != tail:
            return f"no whole version: {len(content)} bytes, version {version} ends early"
        at = head.end() + size + len(tail)
    return "empty" if version is None else version


def read_version(path):
    """The version under the name, None when there is none."""
    try:
        with open(path, "rb") as file:
            return version_of(file.read())
    except FileNotFoundError:
        return None


# --- what every process of the load knows ---


class Shared:
    """Flags in memory that all processes share."""

    def __init__(self):
        self.memory = mmap.mmap(-1, 4096)
        self.counter = mmap.mmap(-1, 4096)

    def next_version(self, slot):
        """Numbers of one slot are its own, so that no lock is needed; a slot has one process at a time."""
        value = struct.unpack_from("q", self.counter, slot * 8)[0] + 1
        struct.pack_into("q", self.counter, slot * 8, value)
        return value * 10 + slot

    def pause(self, on):
        self.memory[0] = on

    def paused(self):
        return self.memory[0]

    def set_idle(self, slot, idle):
        self.memory[16 + slot] = idle

    def idle(self, slot):
        return self.memory[16 + slot]


class Member:
    """A process of the load."""

    def __init__(self, suite, slot, seed):
        self.suite, self.slot, self.shared = suite, slot, suite.shared
        self.root = -1
        self.random = random.Random(seed)
        self.log = os.open(f"{suite.logs}/{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.number = 0

    def note(self, *words):
        os.write(self.log, (" ".join(map(str, words)) + "\n").encode())

    def path(self, name):
        """By way of the mount's root: while a dead mount is replaced, its path leads to the bare directory below."""
        return f"/proc/self/fd/{self.root}/{name}"

    def leave(self):
        if self.root >= 0:
            os.close(self.root)
        self.root = -1

    def enter(self):
        """Returns whether the mount is there."""
        if self.root < 0:
            self.root = os.open(self.suite.mount, os.O_RDONLY | os.O_DIRECTORY)
            if os.fstat(self.root).st_dev == self.suite.bare:
                self.leave()
                self.note("G")
        return self.root >= 0

    def rest(self):
        while self.shared.paused():
            self.leave()
            self.shared.set_idle(self.slot, 1)
            time.sleep(0.001)
        self.shared.set_idle(self.slot, 0)

    def loop(self):
        while True:
            self.rest()
            try:
                if self.enter():
                    self.step()
            except OSError as error:
                if error.errno in GONE:
                    self.leave()
                self.note("X", now(), errno.errorcode[error.errno], repr(traceback.format_exc(limit=-3)))
                if error.errno in GONE:
                    time.sleep(0.002)


class Writer(Member):
    def begin(self, *effects):
        """effects: (name, value) of what is public when it is done."""
        self.number += 1
        for name, value in effects:
            self.note("S", now(), self.number, name, value)

    def commit(self, function, *arguments):
        self.note("C", now(), self.number)
        result = function(*arguments)
        time.sleep(self.suite.nap)
        self.note("A", now(), self.number)
        return result

    def write(self, fd, content):
        for at in range(0, len(content), CHUNK):
            os.write(fd, content[at:at + CHUNK])

    def content(self, version):
        return group(version, self.random.choice((100, 5000, 60000, 400000)))

    def save(self, name, flags=os.O_TRUNC, header=b""):
        version = self.shared.next_version(self.slot)
        self.begin((name, version))
        fd = os.open(self.path(name), os.O_WRONLY | os.O_CREAT | flags, 0o644)
        try:
            self.write(fd, header + self.content(version))
        except OSError:
            os.close(fd)
            raise
        self.commit(os.close, fd)
        return version

    def names(self):
        return f"w{self.slot}.a", f"w{self.slot}.b"

    def do_save(self):
        self.save(self.random.choice(self.names()))

    def do_shared(self):
        self.save("shared")

    def do_replace(self):
        """As careful programs do: under another name, then renamed."""
        temporary, name = f"w{self.slot}.tmp", self.random.choice(self.names())
        if os.path.lexists(self.path(temporary)):
            self.unlink(temporary)
        version = self.save(temporary, os.O_EXCL)
        self.begin((temporary, None), (name, version))
        self.commit(os.rename, self.path(temporary), self.path(name))

    def do_replace_draft(self):
        """The same, but renamed before it is closed."""
        temporary, name = f"w{self.slot}.tmp", self.random.choice(self.names())
        version = self.shared.next_version(self.slot)
        self.begin((name, version), (temporary, None))
        fd = os.open(self.path(temporary), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            self.write(fd, self.content(version))
            os.rename(self.path(temporary), self.path(name))
        except OSError:
            os.close(fd)
            raise
        self.note("N", now(), self.number, temporary)  # that name was not touched unless it was there
        self.commit(os.close, fd)

    def do_append(self):
        name = self.random.choice(self.names())
        version = self.shared.next_version(self.slot)
        try:
            fd = os.open(self.path(name), os.O_WRONLY | os.O_APPEND)
        except FileNotFoundError:
            return
        self.begin((name, version))
        try:
            self.write(fd, self.content(version))
        except OSError:
            os.close(fd)
            raise
        self.commit(os.close, fd)

    def unlink(self, name):
        self.begin((name, None))
        self.commit(os.unlink, self.path(name))

    def do_unlink(self):
        name = self.random.choice(self.names())
        if os.path.lexists(self.path(name)):
            self.unlink(name)

    def do_move(self):
        old, new = self.names()
        version = read_version(self.path(old))
        if isinstance(version, int):
            self.begin((old, None), (new, version))
            self.commit(os.rename, self.path(old), self.path(new))

    def do_give_up(self):
        """A save that its own writer removes: the old version stays."""
        name = self.random.choice(self.names())
        fd = os.open(self.path(name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            self.write(fd, self.content(1)[:-5])
            os.unlink(self.path(name))
        finally:
            os.close(fd)

    def do_libvirt(self):
        """Partial first, completed through a second descriptor."""
        name = f"w{self.slot}.save"
        version = self.shared.next_version(self.slot)
        content = self.content(version)
        header = struct.pack("<II", 2, len(content)) + bytes(68)
        self.begin((name, version))
        fd = os.open(self.path(name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            self.write(fd, b"LibvirtQemudPart" + header + content)
        finally:
            os.close(fd)
        fd = os.open(self.path(name), os.O_WRONLY)
        try:
            os.write(fd, b"LibvirtQemudSave" + header)
        except OSError:
            os.close(fd)
            raise
        self.commit(os.close, fd)

    def step(self):
        self.random.choice((self.do_save, self.do_save, self.do_shared, self.do_replace, self.do_replace_draft,
                            self.do_append, self.do_append, self.do_unlink, self.do_move, self.do_give_up,
                            self.do_libvirt))()


class Reader(Member):
    def probe(self):
        """Only whether it is there."""
        name, begun = self.random.choice(NAMES), now()
        try:
            os.stat(self.path(name))
        except FileNotFoundError:
            self.note("R", begun, now(), name, None)

    def step(self):
        for _ in range(20):
            self.probe()
        name = self.random.choice(NAMES)
        begun = now()
        try:
            fd = os.open(self.path(name), os.O_RDONLY)
        except FileNotFoundError:
            self.note("R", begun, now(), name, None)
            return
        opened, content = now(), b""
        try:
            while more := os.read(fd, 1 << 20):
                content += more
        finally:
            os.close(fd)
        found = version_of(content)
        self.note("R", begun, opened, name, found if isinstance(found, int) else "?" + found.replace(" ", "_"))
        if self.random.random() < 0.05:
            seen = outcome_of_open(self.path("damaged"))
            if seen != "EIO" and seen not in ("ENOTCONN", "ECONNABORTED"):
                self.note("V", now(), f"P5:_a_damaged_image_was_opened:_{seen}")
            hidden = [entry for entry in os.listdir(self.path("")) if entry.startswith(".saveseal.")]
            if hidden:
                self.note("V", now(), "P1:_a_draft_was_listed")


def outcome_of_open(path):
    try:
        os.close(os.open(path, os.O_RDONLY))
    except OSError as error:
        return errno.errorcode[error.errno]
    return "opened"
