"""onceonly BACKING MOUNT KEEPER KILLAT PERCENT [OPERATION...]: no request is done twice or not at all.

Runs each operation below once undisturbed, then again and again while the worker is killed at the 1st, 2nd, ... entry
into or exit from a system call that it makes for it (see prog/killat.c), then some times with its successor killed as
well, and with kills between two system calls. With LEAKS=1 in the environment descriptors are looked at after each. The caller and the backing directory must see the same each time.

An operation is a generator in a process of its own, in a new directory of the mount: it prepares things, yields, does
what is disturbed, yields, and returns what came of it.
"""
import ctypes
import fcntl
import hashlib
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

from onceonly_operations import OPERATIONS

libc = ctypes.CDLL(None, use_errno=True)
PATIENCE = 20  # seconds after which something hangs

# --- what is there afterwards ---

VARIES = re.compile(r" (pid|start|opened|ended|boot|host|sealed)=\S*")


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


def is_replaced_and_kept(entry):
    return entry[1] == ".draft" and any("reason=name-taken" in value and "another%20save%20was%20renamed%20over%20it" in value
                                        for _, value in entry[8])


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
        if points and title == "RENAME settling over settling":
            # The replaced one may be kept (docs/design.md).
            got = got[0], [entry for entry in got[1] if not is_replaced_and_kept(entry)]
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
        while self.trial(title, operation, [f"{point}@{os.environ.get('PAUSE', 0)}"], wanted):
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
