"""onceonly BACKING MOUNT KEEPER KILLAT PERCENT [OPERATION...]: no request is done twice or not at all.

Runs each operation below once undisturbed, then again and again while the worker is killed at the 1st, 2nd, ... entry
into or exit from a system call that it makes for it (see prog/killat.c), then some times with its successor killed as
well, and with kills between two system calls. With LEAKS=1 in the environment descriptors are looked at after each. The caller and the backing directory must see the same each time.

An operation is a generator in a process of its own, in a new directory of the mount: it prepares things, yields, does
what is disturbed, yields, and returns what came of it.
"""
import ctypes
import errno
import fcntl
import hashlib
import mmap
import os
import random
import re
import select
import shutil
import signal
import stat
import struct
import subprocess
import sys
import time
from collections import Counter

libc = ctypes.CDLL(None, use_errno=True)
PATIENCE = 20  # seconds after which something hangs
DATA = b"".join(i.to_bytes(4, "big") for i in range(5000))
RW = os.O_RDWR
NEW = os.O_RDWR | os.O_CREAT
TRUNC = os.O_TRUNC

# --- what operations are made of ---


def outcome(function, *arguments, **named):
    """What the function returns, or the name of its error."""
    try:
        return function(*arguments, **named)
    except OSError as error:
        return errno.errorcode[error.errno]


def call(function, *arguments):
    if getattr(libc, function)(*arguments) >= 0:
        return 0
    return errno.errorcode[ctypes.get_errno()]


def rename2(old, new, flags):
    return call("renameat2", -100, old.encode(), -100, new.encode(), flags)


def save(name, content=DATA):
    """May still settle afterwards: its own family does not wait for that."""
    fd = os.open(name, NEW | TRUNC, 0o644)
    os.write(fd, content)
    os.close(fd)


def make(name, content=DATA):
    """An image that was new before and is public afterwards."""
    save(name, content)
    while not os.path.exists(back(name)):
        time.sleep(0.0005)


def back(name):
    """The file behind the mount."""
    return os.path.join(os.environ["BACK"], os.path.basename(os.getcwd()), name)


def damage(name):
    with open(back(name), "r+b") as file:
        file.write(b"damaged")


def look(names=None):
    """What the caller sees by now."""
    seen = []
    for name in sorted(os.listdir(".")) if names is None else names:
        st = outcome(os.lstat, name)
        if isinstance(st, str):
            seen.append((name, st))
            continue
        content = None
        if stat.S_ISREG(st.st_mode):
            with open(name, "rb") as file:
                content = hashlib.sha256(file.read()).hexdigest()[:16]
        size = 0 if stat.S_ISDIR(st.st_mode) else st.st_size
        seen.append((name, oct(st.st_mode), size, st.st_nlink, st.st_uid, content))
    return seen


def opens(name, flags, prepare=None, then=None):
    def operation():
        if prepare:
            prepare()
        yield
        fd = outcome(os.open, name, flags, 0o640)
        yield
        if isinstance(fd, str):
            return fd, outcome(look)
        seen = os.fstat(fd).st_size, outcome(os.read, fd, 9)
        if flags & os.O_ACCMODE != os.O_RDONLY:
            os.lseek(fd, 0, os.SEEK_END)
            seen += (os.write(fd, b"appended"),)
        return seen, outcome(os.close, fd), outcome(look)

    return operation


def does(prepare, *arguments):
    """One call, after a preparation that returns what is to stay open."""

    def operation():
        held = prepare() if prepare else None
        yield
        done = outcome(*arguments)
        yield
        seen = outcome(look)
        if isinstance(held, int):
            seen = seen, outcome(os.write, held, b"more"), outcome(os.close, held), outcome(look)
        return done, seen

    return operation


def on_draft(action, base=False):
    """action(fd) on a draft that is being written."""

    def operation():
        if base:
            make("a")
        fd = os.open("a", NEW, 0o640)
        if not base:
            os.write(fd, DATA)
        yield
        done = outcome(action, fd)
        yield
        return done, os.fstat(fd).st_size, outcome(os.close, fd), outcome(look)

    return operation


def draft(name="a", content=b"a draft", flags=NEW):
    fd = os.open(name, flags, 0o600)
    os.write(fd, content)
    return fd


def image():
    make("a")


def images():
    make("a")
    make("b", b"the other one")


def settling():
    save("a")


def settling_both():
    save("a")
    save("b", b"the other one")


def draft_over_image():
    make("a")
    return draft("a", b"a new version", NEW | TRUNC)


def draft_and_image():
    make("b")
    return draft("a")


def draft_and_directory():
    os.mkdir("d")
    return draft("a")


def two_drafts():
    make("a")
    return draft("b")


def damaged():
    make("a")
    damage("a")


def failed_draft():
    """A save over an old image that has failed, and whose family goes on."""
    make("a")
    child = os.fork()
    if child == 0:
        draft("a", b"failed", NEW | TRUNC)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)


def with_xattr():
    make("a")
    os.setxattr("a", "user.note", b"old")


def directory():
    os.mkdir("d")


def full_directory():
    os.mkdir("d")
    make("d/a")


def listing():
    for i in range(400):
        os.mknod(back(f"{i:04}" + "x" * 200))
    found = []
    with os.scandir(".") as entries:
        found.append(next(entries).name)
        yield
        found += [entry.name for entry in entries]
        yield
    return found


def listing_drafts():
    make("b")
    held = draft()
    yield
    found = sorted(os.listdir("."))
    yield
    os.close(held)
    return found


def append():
    make("a")
    fd = os.open("a", os.O_WRONLY | os.O_APPEND)
    os.write(fd, b"first")
    yield
    done = os.write(fd, b"second"), os.write(fd, b"third")
    yield
    return done, os.fstat(fd).st_size, os.close(fd), look()


def write_many():
    fd = os.open("a", NEW)
    yield
    done = [os.write(fd, bytes([i]) * 3000) for i in range(5)]
    yield
    return done, os.close(fd), look()


def write_big():
    make("a")
    fd = os.open("a", RW)
    yield
    done = os.pwrite(fd, b"z" * (3 << 20), 7)
    yield
    return done, os.close(fd), look()


def copy():
    make("b")
    fd = draft("a")
    source = os.open("b", os.O_RDONLY)
    yield
    done = outcome(os.copy_file_range, source, fd, 9000, 5, 100)
    yield
    os.close(source)
    return done, os.fstat(fd).st_size, os.close(fd), look()


def mapped():
    fd = os.open("a", NEW)
    os.ftruncate(fd, 8192)
    memory = mmap.mmap(fd, 8192)
    memory[0:4] = b"maps"
    yield
    memory.flush()
    yield
    memory.close()
    return os.close(fd), look()


def flush_one():
    """close() of one of two descriptors of an open file: FLUSH without RELEASE."""
    fd = draft("a", DATA)
    other = os.dup(fd)
    yield
    done = outcome(os.close, other)
    yield
    return done, outcome(os.write, fd, b"more"), outcome(os.close, fd), look()


def close_new():
    fd = draft("a", DATA)
    yield
    done = outcome(os.close, fd), look()
    yield
    return done


def close_over():
    fd = draft_over_image()
    yield
    done = outcome(os.close, fd), look()
    yield
    return done


def close_edit():
    make("a")
    fd = os.open("a", os.O_WRONLY | os.O_APPEND)
    os.write(fd, b"appended")
    yield
    done = outcome(os.close, fd), look()
    yield
    return done


def close_empty():
    fd = os.open("a", NEW | os.O_EXCL)
    yield
    done = outcome(os.close, fd), look()
    yield
    return done


def close_unchanged():
    make("a")
    fd = os.open("a", RW)
    yield
    done = outcome(os.close, fd), look()
    yield
    return done


def close_taken():
    """O_EXCL, but somebody else has the name by now."""
    fd = draft("a", DATA, NEW | os.O_EXCL)
    with open(back("a"), "wb") as other:
        other.write(b"another's")
    yield
    done = outcome(os.close, fd), look()
    yield
    return done


def libvirt_header(magic):
    return magic + struct.pack("<II", 2, 1000) + bytes(68)


def close_partial():
    fd = draft("a", libvirt_header(b"LibvirtQemudPart") + bytes(1000))
    yield
    done = outcome(os.close, fd), look()
    yield
    return done


def close_complete():
    """libvirt's last step: the waiting draft is opened once more and completed."""
    os.close(draft("a", libvirt_header(b"LibvirtQemudPart") + bytes(1000)))
    yield
    fd = os.open("a", os.O_WRONLY)
    done = fd >= 0, os.write(fd, libvirt_header(b"LibvirtQemudSave")), outcome(os.close, fd), look()
    yield
    return done


def exit_failed():
    """Its process ends with an error: the draft is kept, with its reason."""
    make("a")
    yield
    child = os.fork()
    if child == 0:
        draft("a", b"exits", NEW | TRUNC)
        os._exit(3)
    done = os.waitpid(child, 0)[1], look()
    yield
    return done


def whole_save():
    make("a")
    yield
    fd = os.open("a", NEW | TRUNC)
    done = os.write(fd, DATA), os.write(fd, b"end"), os.fsync(fd), os.close(fd), look()
    yield
    return done


def read_image():
    make("a")
    yield
    with open("a", "rb") as file:
        done = hashlib.sha256(file.read()).hexdigest()
    yield
    return done


def forget_some():
    for i in range(6):
        make(f"f{i}")
    yield
    for i in range(6):
        os.unlink(f"f{i}")
    yield
    return look()


def forget_batch():
    for i in range(20):
        with open(back(f"f{i}"), "w"):
            pass
        os.stat(f"f{i}")
    yield
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("2")
    yield
    return look()


def fallocate(mode, offset, length):
    return lambda fd: call("fallocate", fd, mode, ctypes.c_long(offset), ctypes.c_long(length))


excl = NEW | os.O_EXCL
mknod = stat.S_IFREG | 0o640
OPERATIONS = {
    "CREATE": opens("a", NEW),
    "CREATE excl": opens("a", excl),
    "CREATE excl, taken": opens("a", excl, image),
    "CREATE trunc": opens("a", NEW | TRUNC),
    "OPEN": opens("a", os.O_RDONLY, image),
    "OPEN damaged": opens("a", os.O_RDONLY, damaged),
    "OPEN edit": opens("a", RW, image),
    "OPEN trunc": opens("a", RW | TRUNC, image),
    "OPEN creat trunc": opens("a", NEW | TRUNC, image),
    "OPEN own draft trunc": does(lambda: draft("a"), lambda: os.close(os.open("a", RW | TRUNC))),
    "MKDIR": does(None, os.mkdir, "d", 0o751),
    "MKDIR taken": does(directory, os.mkdir, "d"),
    "RMDIR": does(directory, os.rmdir, "d"),
    "RMDIR full": does(full_directory, os.rmdir, "d"),
    "MKNOD fifo": does(None, os.mkfifo, "p", 0o640),
    "MKNOD fifo, taken": does(image, os.mkfifo, "a"),
    "MKNOD file": does(None, os.mknod, "f", mknod),
    "SYMLINK": does(None, os.symlink, "somewhere", "l"),
    "SYMLINK taken": does(image, os.symlink, "somewhere", "a"),
    "LINK": does(image, os.link, "a", "b"),
    "LINK taken": does(images, os.link, "a", "b"),
    "LINK draft": does(lambda: draft("a"), os.link, "a", "b"),
    "UNLINK": does(image, os.unlink, "a"),
    "UNLINK settling": does(settling, os.unlink, "a"),
    "UNLINK missing": does(None, os.unlink, "a"),
    "UNLINK draft": does(lambda: draft("a"), os.unlink, "a"),
    "UNLINK draft over image": does(draft_over_image, os.unlink, "a"),
    "UNLINK damaged": does(damaged, os.unlink, "a"),
    "UNLINK failed draft": does(failed_draft, os.unlink, "a"),
    "RENAME": does(image, os.rename, "a", "b"),
    "RENAME over": does(images, os.rename, "a", "b"),
    "RENAME settling": does(settling, os.rename, "a", "b"),
    "RENAME settling over settling": does(settling_both, os.rename, "a", "b"),
    "RENAME settling exchange": does(settling_both, rename2, "a", "b", 2),
    "LINK settling": does(settling, os.link, "a", "b"),
    "RENAME missing": does(None, os.rename, "a", "b"),
    "RENAME noreplace": does(image, rename2, "a", "b", 1),
    "RENAME noreplace, taken": does(images, rename2, "a", "b", 1),
    "RENAME exchange": does(images, rename2, "a", "b", 2),
    "RENAME directory": does(full_directory, os.rename, "d", "e"),
    "RENAME draft": does(lambda: draft("a"), os.rename, "a", "b"),
    "RENAME draft over image": does(draft_and_image, os.rename, "a", "b"),
    "RENAME draft noreplace": does(lambda: draft("a"), rename2, "a", "b", 1),
    "RENAME draft noreplace, taken": does(draft_and_image, rename2, "a", "b", 1),
    "RENAME draft exchange": does(draft_and_image, rename2, "a", "b", 2),
    "RENAME draft elsewhere": does(draft_and_directory, os.rename, "a", "d/b"),
    "RENAME over own draft": does(two_drafts, os.rename, "a", "b"),
    "SETXATTR": does(with_xattr, os.setxattr, "a", "user.note", b"new"),
    "SETXATTR create": does(image, os.setxattr, "a", "user.note", b"new", os.XATTR_CREATE),
    "SETXATTR create, there": does(with_xattr, os.setxattr, "a", "user.note", b"new", os.XATTR_CREATE),
    "SETXATTR replace": does(with_xattr, os.setxattr, "a", "user.note", b"new", os.XATTR_REPLACE),
    "SETXATTR replace, missing": does(image, os.setxattr, "a", "user.note", b"new", os.XATTR_REPLACE),
    "SETXATTR draft": on_draft(lambda fd: os.setxattr(fd, "user.note", b"new", os.XATTR_CREATE)),
    "REMOVEXATTR": does(with_xattr, os.removexattr, "a", "user.note"),
    "REMOVEXATTR missing": does(image, os.removexattr, "a", "user.note"),
    "SETATTR truncate": does(image, os.truncate, "a", 3000),
    "SETATTR truncate to 0": does(image, os.truncate, "a", 0),
    "SETATTR truncate, longer": does(image, os.truncate, "a", 30000),
    "SETATTR truncate draft": on_draft(lambda fd: os.ftruncate(fd, 3000)),
    "SETATTR truncate edit": on_draft(lambda fd: os.ftruncate(fd, 3000), base=True),
    "SETATTR mode": does(image, os.chmod, "a", 0o600),
    "SETATTR mode of draft": on_draft(lambda fd: os.fchmod(fd, 0o600)),
    "SETATTR owner": does(image, os.chown, "a", 65534, 100),
    "SETATTR times": does(image, lambda: os.utime("a", (5, 6))),
    "WRITE": on_draft(lambda fd: os.pwrite(fd, b"written", 10000)),
    "WRITE append": append,
    "WRITE many": write_many,
    "WRITE big, edit": write_big,
    "WRITE edit": on_draft(lambda fd: os.pwrite(fd, b"written", 10000), base=True),
    "WRITE mapping": mapped,
    "FALLOCATE": on_draft(fallocate(0, 10000, 30000)),
    "FALLOCATE hole": on_draft(fallocate(3, 4096, 8192)),
    "FALLOCATE zero": on_draft(fallocate(16, 4096, 8192)),
    "FALLOCATE edit": on_draft(fallocate(0, 10000, 30000), base=True),
    "COPY_FILE_RANGE": copy,
    "FSYNC": on_draft(os.fsync),
    "FLUSH": flush_one,
    "RELEASE new": close_new,
    "RELEASE over": close_over,
    "RELEASE edit": close_edit,
    "RELEASE empty": close_empty,
    "RELEASE unchanged": close_unchanged,
    "RELEASE name taken": close_taken,
    "RELEASE partial": close_partial,
    "RELEASE complete": close_complete,
    "RELEASE by exit": exit_failed,
    "READDIR": listing,
    "READDIR drafts": listing_drafts,
    "LOOKUP": does(image, lambda: look(["a", "none"])),
    "LOOKUP draft": does(lambda: draft("a"), lambda: look(["a"])),
    "READ": read_image,
    "FORGET": forget_some,
    "BATCH_FORGET": forget_batch,
    "a save": whole_save,
}

# --- what is there afterwards ---

VARIES = re.compile(r" (pid|start|opened|boot|host|sealed)=\S*")


def lock_is_held(path):
    """Whether a live draft is there."""
    fd = os.open(path, os.O_RDWR)
    lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 2**63 - 2, 1, 0)
    kind = struct.unpack("hhqqi4x", fcntl.fcntl(fd, 36, lock))[0]  # F_OFD_GETLK
    os.close(fd)
    return kind != fcntl.F_UNLCK


def describe(path, numbers):
    """All of one file that does not depend on when it was made."""
    st = os.lstat(path)
    name = os.path.basename(path)
    hidden = name.startswith(".saveseal.")
    xattrs = []
    for key in sorted(os.listxattr(path, follow_symlinks=False)):
        value = os.getxattr(path, key, follow_symlinks=False).decode("latin-1")
        xattrs.append((key, VARIES.sub("", value)))
    content = None
    if stat.S_ISREG(st.st_mode):
        with open(path, "rb") as file:
            content = hashlib.sha256(file.read()).hexdigest()[:16]
    if stat.S_ISLNK(st.st_mode):
        content = os.readlink(path)
    size = 0 if stat.S_ISDIR(st.st_mode) else st.st_size
    held = hidden and lock_is_held(path)
    number = numbers.setdefault(st.st_ino, len(numbers)) if st.st_nlink > 1 and content else 0
    return ".draft" if hidden else name, oct(st.st_mode), st.st_uid, st.st_gid, size, number, content, xattrs, held


def snapshot(directory):
    """What is in the backing directory."""
    found, numbers = [], {}
    for path, _, _ in os.walk(directory):
        relative = os.path.relpath(path, directory)
        for entry in sorted(os.listdir(path)):
            try:
                found.append((relative, *describe(os.path.join(path, entry), numbers)))
            except FileNotFoundError:
                found.append((relative, entry, "went away"))
    return sorted(found, key=repr)


# --- one run ---


class Hangs(Exception):
    pass


def read_until(pipe, end, what):
    text = b""
    deadline = time.monotonic() + PATIENCE
    while not text.endswith(end):
        if not select.select([pipe], [], [], max(0, deadline - time.monotonic()))[0]:
            raise Hangs(what)
        more = os.read(pipe, 1)
        if not more:
            break
        text += more
    return text.decode()


def run_client(operation, directory, ours, its):
    """In the client: its side of the pipes, in text lines."""
    libc.prctl(15, b"client", 0, 0, 0)  # under a name of its own its parent does not belong to its family
    try:
        os.chdir(directory)
        steps = operation()
        while True:
            try:
                next(steps)
            except StopIteration as end:
                result = end.value
                break
            os.write(its, b"y\n")
            os.read(ours, 1)
    except BaseException as error:  # pylint: disable=broad-except
        result = repr(error)
    os.write(its, repr(result).encode() + b"\n")
    os._exit(0)


class Run:
    def __init__(self, suite, operation, directory):
        self.suite = suite
        to_it, self.out = os.pipe()
        self.input, from_it = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.out)
            os.close(self.input)
            run_client(operation, directory, to_it, from_it)
        os.close(to_it)
        os.close(from_it)
        self.killer = None

    def line(self, what):
        return read_until(self.input, b"\n", what)

    def attach(self, points):
        self.killer = subprocess.Popen([self.suite.killat, str(self.suite.keeper), *points],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return read_until(self.killer.stdout.fileno(), b"\n", "killat") == "ready\n"

    def killed(self):
        """What killat says."""
        self.killer.stdin.close()
        text = []
        while line := read_until(self.killer.stdout.fileno(), b"\n", "the worker"):
            text.append(line.strip())
        self.killer.wait()
        self.killer.stdout.close()
        self.killer = None
        return text

    def go(self, points):
        """Returns what the client says and what killat says."""
        said = []
        first = self.line("the preparation")
        if first == "y\n":
            if points and not self.attach(points):
                raise RuntimeError("killat can not attach")
            os.write(self.out, b"g")
            first = self.line("the operation")
            if points:
                said = self.killed()
        if first == "y\n":
            os.write(self.out, b"g")
            first = self.line("what follows")
        os.waitpid(self.pid, 0)
        os.close(self.out)
        os.close(self.input)
        return first.strip(), said

    def tell_where(self):
        """Only what does not wait for anybody: where the threads of the worker and the client are in the kernel."""
        with open(f"/proc/{self.suite.keeper}/task/{self.suite.keeper}/children", encoding="ascii") as file:
            workers = [int(pid) for pid in file.read().split()]
        for pid in (*workers, self.pid):
            for tid in os.listdir(f"/proc/{pid}/task"):
                where = []
                for what in "wchan", "syscall":
                    with open(f"/proc/{pid}/task/{tid}/{what}", encoding="ascii") as file:
                        where.append(file.read().split(" ")[0].strip())
                print(f"#   {pid}/{tid} is in {where}", flush=True)

    def abandon(self):
        self.suite.abort()
        if self.killer:
            self.killer.kill()
            self.killer.wait()
        os.kill(self.pid, signal.SIGKILL)


class Suite:
    def __init__(self, backing, mount, keeper, killat, percent):
        self.backing, self.mount, self.keeper, self.killat = backing, mount, int(keeper), killat
        self.percent = int(percent)
        self.count = 0
        self.failures = 0
        os.environ["BACK"] = backing

    def abort(self):
        minor = os.minor(os.stat(self.mount).st_dev) if self.device is None else self.device
        path = f"/sys/fs/fuse/connections/{minor}/abort"
        if not os.path.exists(path):
            subprocess.run(["mount", "-t", "fusectl", "none", "/sys/fs/fuse/connections"], check=False)
        with open(path, "w") as file:
            file.write("1")

    def once(self, operation, points, wanted=None):
        """Returns (what the client saw, the backing directory), killat's words."""
        self.count += 1
        name = f"d{self.count}"
        os.mkdir(os.path.join(self.mount, name))
        sys.stderr.write(f"TRIAL {self.count} {points}\n") if os.environ.get("TRACE") else None
        run = Run(self, operation, os.path.join(self.mount, name))
        try:
            seen, said = run.go(points)
        except Hangs as error:
            run.tell_where()
            run.abandon()
            raise Hangs(f"{error}, points {points}") from error
        deadline = time.monotonic() + 3
        directory = os.path.join(self.backing, name)
        if wanted is None:
            time.sleep(0.2)
        while (there := snapshot(directory)) != wanted and wanted is not None and time.monotonic() < deadline:
            time.sleep(0.002)
        self.clean(name)
        return (seen, there), said

    def clean(self, name):
        shutil.rmtree(os.path.join(self.mount, name), ignore_errors=True)  # damaged images are set aside now
        for path, _, files in os.walk(os.path.join(self.backing, name)):
            for file in files:
                if file.startswith(".saveseal."):
                    os.unlink(os.path.join(path, file))
        shutil.rmtree(os.path.join(self.mount, name), ignore_errors=True)
        if os.path.exists(os.path.join(self.backing, name)):
            raise RuntimeError(f"{name} can not be removed")

    def left_open(self, start):
        """What the keeper has open now, and had not. A thread that has once served a READ keeps a pipe."""
        now = Counter(path for path in self.descriptors() if not path.startswith("pipe:"))
        return list((now - Counter(start)).elements())

    def descriptors(self):
        found = []
        for fd in os.listdir(f"/proc/{self.keeper}/fd"):
            try:
                found.append(os.readlink(f"/proc/{self.keeper}/fd/{fd}"))
            except FileNotFoundError:
                pass
        return sorted(found)

    def compare(self, title, points, said, got, wanted):
        if got == wanted:
            return
        self.failures += 1
        print(f"# {title}: points {' '.join(points)}: {'; '.join(said)}")
        if got[0] != wanted[0]:
            print(f"#   the client saw {got[0]}\n#   wanted         {wanted[0]}")
        for entry in got[1]:
            if entry not in wanted[1]:
                print(f"#   there is  {entry}")
        for entry in wanted[1]:
            if entry not in got[1]:
                print(f"#   there lacks {entry}")

    def trial(self, title, operation, points, wanted):
        """Returns whether the worker was killed (as often as wanted)."""
        got, said = self.once(operation, points, wanted[1])
        self.compare(title, points, said, got, wanted)
        if os.environ.get("LEAKS"):
            self.look_for_leaks(f"{title}: points {' '.join(points)}: {'; '.join(said)}")
        return len([line for line in said if line.startswith("killed")]) == len(points)

    def operation(self, title, operation):
        wanted, _ = self.once(operation, [])
        again, _ = self.once(operation, [], wanted[1])
        if again != wanted:
            self.failures += 1
            self.compare(title + " undisturbed", [], [], again, wanted)
        before, stride = self.failures, max(1, 100 // self.percent)
        point, tried, doubles, between = 1 + self.count % stride, 0, 0, 0
        while self.trial(title, operation, [str(point)], wanted):
            tried += 1
            point += stride
        for _ in range(max(1, tried // 4)):
            points = [str(random.randrange(1, point + 1)), str(random.randrange(1, 60))]
            doubles += self.trial(title, operation, points, wanted)
            points = [f"{random.randrange(1, point + 1)}+{random.randrange(1, 2000)}"]
            between += self.trial(title, operation, points, wanted)
        verdict = "ok" if self.failures == before else "not ok"
        print(f"{verdict} - {title}: {tried} kill points, {doubles} double, {between} between calls"
              + (f", {self.failures - before} wrong" if self.failures > before else ""), flush=True)
        return tried + doubles + between

    def look_for_leaks(self, what):
        deadline = time.monotonic() + 6
        while (left := self.left_open(self.base)) and time.monotonic() < deadline:
            time.sleep(0.02)
        self.base += left
        if left:
            self.failures += 1
            print(f"not ok - {what}: the keeper still has open: {', '.join(left[:20])}", flush=True)

    def run(self, chosen):
        total = 0
        self.device = os.minor(os.stat(self.mount).st_dev)
        self.base = self.descriptors()
        for title, operation in OPERATIONS.items():
            if chosen and title not in chosen:
                continue
            try:
                total += self.operation(title, operation)
            except Hangs as error:
                raise Hangs(f"{title}: {error}") from error
            self.look_for_leaks(title)
        print(f"# {total} kills, {self.failures} wrong")
        return 1 if self.failures else 0


def main(backing, mount, keeper, killat, percent, *chosen):
    random.seed(int(os.environ.get("SEED", "1")))
    suite = Suite(backing, mount, keeper, killat, percent)
    try:
        status = suite.run(chosen)
    except Hangs as error:
        print(f"not ok - hangs: {error}", flush=True)
        status = 1
    sys.exit(status)


main(*sys.argv[1:])
