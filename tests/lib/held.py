"""held WHAT ARGUMENT...: programs that keep files in use while workers die. Each ends at SIGTERM, prints what it has
done in one line, and what was wrong in lines of its own; the status is 1 if there were such."""
import errno
import fcntl
import mmap
import os
import signal
import sys
import threading
import time
import traceback

BLOCK = 4096
wrongs = 0
over = False


def end(_number, _frame):
    global over
    over = True


def wrong(*words):
    global wrongs
    wrongs += 1
    if wrongs <= 20:
        print(*words, flush=True)


def content(name, size):
    """Bytes that tell their file and their place."""
    line = b"%s %%015d\n" % name.encode()
    return b"".join(line % i for i in range(size // len(line % 0) + 1))[:size]


def save(path, data):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    done = 0
    while done < len(data):
        done += os.write(fd, data[done:done + (1 << 20)])
    os.close(fd)


# --- everything that can be open ---


class Image:
    """An image that is read on from where it was; the name may be gone."""

    def __init__(self, path, removed):
        self.data = content(path, 1 << 20)
        self.fd = os.open(path, os.O_RDONLY)
        self.links = 0 if removed else 1
        self.at = 0
        if removed:
            os.unlink(path)

    def step(self):
        got = os.read(self.fd, BLOCK)
        if got != self.data[self.at:self.at + len(got)] or (not got and self.at < len(self.data)):
            wrong("image: other bytes at", self.at)
        self.at += len(got)
        if not got:
            self.at = os.lseek(self.fd, 0, os.SEEK_SET)
        if os.fstat(self.fd).st_nlink != self.links:
            wrong("image: links", os.fstat(self.fd).st_nlink)

    def end(self):
        os.close(self.fd)


class Stream:
    """A directory that is read a few names at a time."""

    COUNT = 3000

    def __init__(self, path):
        os.mkdir(path)
        self.path = path
        for i in range(self.COUNT):
            os.symlink("nowhere", "%s/a rather long name, so that they do not fit into one answer %d" % (path, i))
        self.begin()

    def begin(self):
        self.stream = os.scandir(self.path)
        self.seen = set()

    def step(self):
        for _ in range(20):
            entry = next(self.stream, None)
            if entry is None:
                if len(self.seen) != self.COUNT:
                    wrong("stream:", len(self.seen), "names")
                self.begin()
                return
            if entry.name in self.seen:
                wrong("stream: twice:", entry.name)
            self.seen.add(entry.name)

    def end(self):
        while self.seen:
            self.step()


class Lock:
    """A lock of the whole file, and another process that wants it."""

    def __init__(self, path, how):
        self.path, self.how = path, how
        self.fd = os.open(path, os.O_RDONLY if how is fcntl.flock else os.O_RDWR)
        how(self.fd, fcntl.LOCK_EX)

    def can_take(self):
        pid = os.fork()
        if pid == 0:
            fd = os.open(self.path, os.O_RDONLY if self.how is fcntl.flock else os.O_RDWR)
            taken = 1
            try:
                self.how(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                taken = 0
            os.close(fd)  # else a status other than 0 would spoil the save
            os._exit(taken)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def step(self):
        if self.can_take() != 0:
            wrong(self.path, "the lock is not held any more")

    def end(self):
        self.how(self.fd, fcntl.LOCK_UN)
        if self.can_take() != 1:
            wrong(self.path, "the lock that was given back can not be taken")
        os.close(self.fd)


class Draft:
    """A draft that grows by O_APPEND, a line at a time."""

    def __init__(self, path):
        self.path, self.lines = path, 0
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.step()

    def line(self, number):
        return b"%s line %d\n" % (self.path.encode(), number)

    def step(self):
        line = self.line(self.lines)
        if os.write(self.fd, line) != len(line):
            wrong("draft: short write")
        self.lines += 1

    def end(self):
        os.close(self.fd)
        with open(self.path, "rb") as image:
            if image.read() != b"".join(map(self.line, range(self.lines))):
                wrong("draft: other lines")


class Mapping:
    """A draft that is written through shared memory."""

    SIZE = 256 * BLOCK

    def __init__(self, path):
        self.path, self.steps = path, 0
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        os.ftruncate(self.fd, self.SIZE)
        self.map = mmap.mmap(self.fd, self.SIZE, mmap.MAP_SHARED)
        self.copy = bytearray(self.SIZE)

    def step(self):
        at = (self.steps * 37 % 256) * BLOCK + self.steps % (BLOCK - 32)
        text = b"step %020d" % self.steps
        for target in (self.map, self.copy):
            target[at:at + len(text)] = text
        if self.steps % 5 == 0:
            self.map.flush()
        self.steps += 1
        if self.map[:] != self.copy:
            wrong("mapping: other bytes")

    def end(self):
        self.map.flush()
        os.close(self.fd)
        self.map.close()
        with open(self.path, "rb") as image:
            if image.read() != self.copy:
                wrong("mapping: other bytes in the image")


def images(directory, size, *names):
    """Saves images of those names, size bytes each. What saves them must end before they are images to everybody."""
    os.chdir(directory)
    for name in names:
        save(name, content(name, int(size)))


def everything(directory):
    """Prints "ready" when all is open. The images kept, removed, flocked and locked must be there."""
    os.chdir(directory)
    held = [
        Image("kept", False),
        Image("removed", True),
        Stream("names"),
        Lock("flocked", fcntl.flock),
        Lock("locked", fcntl.lockf),
        Draft("growing"),
        Mapping("mapped"),
    ]
    print("ready", flush=True)
    steps = 0
    while not over:
        for one in held:
            one.step()
        steps += 1
    for one in held:
        one.end()
    print("steps", steps)


# --- an old version and a new one ---


def reader(path, old):
    """Has the old version open, and reads it from end to end as long as it may."""
    with open(old, "rb") as file:
        data = file.read()
    fd = os.open(path, os.O_RDONLY)
    print("ready", flush=True)
    passes = 0
    while True:
        for at in range(0, len(data), BLOCK * 16):
            if os.pread(fd, BLOCK * 16, at) != data[at:at + BLOCK * 16]:
                wrong("reader: other bytes at", at)
            if not over:
                time.sleep(0.001)
        if os.pread(fd, 1, len(data)) != b"":
            wrong("reader: bytes behind the end")
        passes += 1
        if over:
            break
    print("passes", passes)


def looker(path, *versions):
    """Opens again and again what is there: it is always one of the versions."""
    wanted = []
    for version in versions:
        with open(version, "rb") as file:
            wanted.append(file.read())
    print("ready", flush=True)
    seen = [0] * len(wanted)
    while not over:
        with open(path, "rb") as file:
            data = file.read()
        if data in wanted:
            seen[wanted.index(data)] += 1
        else:
            wrong("looker: a mix of", len(data), "bytes")
    print("seen", *seen)


# --- errors ---


class Timed:
    """Calls, and how long the longest one took that failed."""

    longest = 0.0
    errors = 0

    def call(self, function, *arguments):
        begin = time.monotonic()
        try:
            return function(*arguments)
        except OSError as error:
            self.longest = max(self.longest, time.monotonic() - begin)
            self.errors += 1
            if error.errno != errno.EIO:
                wrong("error", errno.errorcode[error.errno])
            raise


def save_with_errors(timed, path, data):
    """Returns saved, draft (an error came when there was one) or unopened."""
    try:
        fd = timed.call(os.open, path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    except OSError:
        return "unopened"
    try:
        for at in range(0, len(data), 1 << 16):
            timed.call(os.write, fd, data[at:at + (1 << 16)])
    except OSError:
        try:
            os.close(fd)
        except OSError:
            pass
        return "draft"
    try:
        timed.call(os.close, fd)
    except OSError:
        return "draft"
    return "saved"


OLD_SIZE = 1 << 19
NEW_SIZE = 5 << 17


def lossy(directory, prefix, rounds):
    """Saves each second name PREFIX.N for the first time and the others, of which there is an image of OLD_SIZE, once
    more, with errors. Prints a line for each: what must be public (none, old or new), and what the error came to."""
    timed = Timed()
    os.chdir(directory)
    for i in range(int(rounds)):
        name = "%s.%d" % (prefix, i)
        public, left = "old" if i % 2 else "none", "-"
        fate = save_with_errors(timed, name, content(name, NEW_SIZE))
        if fate == "saved":
            public = "new"
        else:
            left = fate
        print("name", name, public, left, flush=True)
        if over:
            break
    print("errors %d longest %.3f" % (timed.errors, timed.longest))


def judge(directory, log):
    """Whether what lossy told is so."""
    with open(log, encoding="utf-8") as file:
        told = [line.split() for line in file if line.startswith("name ")]
    for _, name, public, _ in told:
        path = "%s/%s" % (directory, name)
        try:
            with open(path, "rb") as file:
                got = file.read()
        except FileNotFoundError:
            got = None
        if got != {"none": None, "old": content(name, OLD_SIZE), "new": content(name, NEW_SIZE)}[public]:
            wrong(name, "must be", public, "and has", got and len(got))
    print("names", len(told))


def slow_close(path, size, worker):
    """Kills the worker in the middle of close(). Prints "closing", then what close() says and after how many seconds."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    data = content(path, 1 << 20)
    for _ in range(int(size)):
        os.write(fd, data)
    for i in range(31):  # less than savesealfs waits for before it syncs: all this is left to close()
        os.pwrite(fd, data, i << 20)
    for i in range(2 * int(size)):  # nothing that is digested already stays known
        os.pwrite(fd, b"x", i << 19)
    print("closing", flush=True)
    killer = threading.Timer(0.02, os.kill, (int(worker), signal.SIGKILL))
    begin = time.monotonic()
    killer.start()
    try:
        os.close(fd)
        print("closed")
    except OSError as error:
        print(errno.errorcode[error.errno], "%.3f" % (time.monotonic() - begin))


# --- many ---


def many(directory, count):
    """That many drafts open at once, each with a few bytes."""
    fds = []
    for i in range(int(count)):
        fd = os.open("%s/draft.%d" % (directory, i), os.O_WRONLY | os.O_CREAT, 0o644)
        os.write(fd, b"draft %d\n" % i)
        fds.append(fd)
    print("ready", flush=True)
    while not over:
        time.sleep(0.05)
    for i, fd in enumerate(fds):
        os.close(fd)
        with open("%s/draft.%d" % (directory, i), "rb") as image:
            if image.read() != b"draft %d\n" % i:
                wrong("draft", i)
    print("drafts", len(fds))


def pinned(path):
    """Published, but known to the kernel by what its writer saw."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    os.write(fd, b"pinned\n")
    pin = os.open(path, os.O_PATH)
    os.close(fd)
    print("ready", flush=True)
    while not over:
        time.sleep(0.05)
    if os.fstat(pin).st_size != 7:
        wrong("size", os.fstat(pin).st_size)


signal.signal(signal.SIGTERM, end)
try:
    globals()[sys.argv[1]](*sys.argv[2:])
except OSError as failure:
    wrong("failed:", failure, "at", [frame.lineno for frame in traceback.extract_tb(failure.__traceback__)])
sys.exit(wrongs > 0)
