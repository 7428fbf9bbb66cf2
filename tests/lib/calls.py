"""calls WHAT ARGUMENT...: system calls that no program of the shell makes. Prints what came of them."""
import ctypes
import errno
import fcntl
import hashlib
import mmap
import os
import socket
import sys

libc = ctypes.CDLL(None, use_errno=True)
SIZE = 65536
DATA = b"".join(i.to_bytes(4, "big") for i in range(SIZE))  # no two blocks are the same


def call(function, *arguments):
    """0 or the name of the error."""
    if getattr(libc, function)(*arguments) == 0:
        return 0
    return errno.errorcode[ctypes.get_errno()]


def outcome(function, *arguments):
    """What the function returns, or the name of its error."""
    try:
        return function(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]


def ask(function, *arguments):
    """A function of Python's os; arguments that look like numbers are numbers."""

    def value(text):
        try:
            return int(text, 0)
        except ValueError:
            return text.encode()

    print(outcome(getattr(os, function), *map(value, arguments)))


def digest(what):
    return hashlib.sha256(what).hexdigest()


def rename(old, new, how):
    flags = {"noreplace": 1, "exchange": 2, "whiteout": 4}[how]
    print(call("renameat2", -100, old.encode(), -100, new.encode(), flags))


def fallocate(fd, mode, offset, length):
    return call("fallocate", fd, mode, ctypes.c_long(offset), ctypes.c_long(length))


def allocate(name, mode, offset, length):
    """fallocate with the bits of mode; prints what becomes of the size."""
    fd = os.open(name, os.O_RDWR | os.O_CREAT)
    print(fallocate(fd, int(mode), int(offset), int(length)), os.fstat(fd).st_size)
    os.close(fd)


def holes(name):
    """Allocates, punches and zeroes in an open draft, and reads what that leaves through the same descriptor."""
    fd = os.open(name, os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, DATA, 1 << 20)
    for mode, offset, length in (0, 0, 3 << 20), (1, 3 << 20, 1 << 20), (3, 1 << 20, SIZE), (16, (1 << 20) + SIZE, SIZE):
        print(fallocate(fd, mode, offset, length), os.fstat(fd).st_size, digest(os.pread(fd, 4 << 20, 0)))
    os.close(fd)


def segments(fd):
    """Where data is, as lseek tells."""
    end, at, found = os.fstat(fd).st_size, 0, []
    while at < end:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            found.append(errno.errorcode[error.errno])
            break
        at = os.lseek(fd, start, os.SEEK_HOLE)
        found.append((start, at))
    return found


def data(name):
    fd = os.open(name, os.O_RDONLY)
    print(segments(fd))


def draftdata(name):
    """lseek and reads of a file that is being written."""
    fd = os.open(name, os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, 5 << 20)  # first: what is appended may get more room than it needs
    for at in 0, 1 << 20, 3 << 20:
        os.pwrite(fd, b"x" * 4096, at)
    os.fsync(fd)
    print(segments(fd), digest(os.pread(fd, 6 << 20, 0)))
    os.close(fd)


def mapwrite(name):
    fd = os.open(name, os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, SIZE)
    with mmap.mmap(fd, SIZE) as memory:
        memory[100:108] = b"in place"
        memory.flush()
        print(os.pread(fd, 8, 100))
        os.pwrite(fd, b"out of", 100)
        print(memory[100:108])
        memory[SIZE - 4 :] = b"last"
    os.close(fd)


def mapread(name):
    """Reads the image through mappings of each kind, and keeps one while a new version takes its place."""
    fd = os.open(name, os.O_RDONLY)
    size = os.fstat(fd).st_size
    shared = mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ)
    private = mmap.mmap(fd, size, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
    private[0:3] = b"own"
    print(digest(shared), digest(private))
    with open(name + ".next", "wb") as new:
        new.write(b"new version" * 9000)
    os.rename(name + ".next", name)
    print(digest(shared), os.pread(fd, 10, 0), open(name, "rb").read(11))


def mapheld(name):
    """Maps the image, says so, and looks again when told to."""
    fd = os.open(name, os.O_RDONLY)
    memory = mmap.mmap(fd, os.fstat(fd).st_size, mmap.MAP_SHARED, mmap.PROT_READ)
    memory[0]
    print("mapped", flush=True)
    sys.stdin.readline()
    print(digest(memory), digest(os.pread(fd, SIZE * 16, 0)))


def direct(name):
    """Writes and reads past the page cache: a draft, then the image."""
    with mmap.mmap(-1, 2 * SIZE) as buffer:
        buffer[:] = DATA[: 2 * SIZE]
        fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_DIRECT)
        print(os.write(fd, buffer), os.preadv(fd, [buffer], SIZE), digest(buffer[:SIZE]))
        os.close(fd)
        fd = os.open(name, os.O_RDONLY | os.O_DIRECT)
        print(os.preadv(fd, [buffer], 0), digest(buffer))
        os.close(fd)


def twice(name):
    """Two descriptors of one draft, the one that was opened last goes on alone."""
    one = os.open(name, os.O_RDWR | os.O_CREAT)
    two = os.open(name, os.O_RDWR)
    os.write(one, b"one ")
    os.pwrite(two, b"two", 4)
    print(os.pread(one, 10, 0))
    for fd in one, two:
        print(outcome(fcntl.flock, fd, fcntl.LOCK_EX | fcntl.LOCK_NB), outcome(fcntl.lockf, fd, fcntl.LOCK_EX, 1, 100))
    os.close(one)
    os.write(two, b"ONE")
    os.fsync(two)
    os.close(two)


def gone(name):
    """Goes on with a draft that was removed."""
    fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    os.write(fd, b"before")
    os.unlink(name)
    os.write(fd, b" after")
    print(os.pread(fd, 20, 0), os.fstat(fd).st_nlink, os.path.exists(name))
    os.close(fd)


def copies(old, new):
    """Copies within the kernel."""
    source, to = os.open(old, os.O_RDONLY), os.open(new, os.O_WRONLY | os.O_CREAT)
    print(os.copy_file_range(source, to, 100000, 5, 0), os.sendfile(to, source, 0, 1000))
    os.close(source)
    os.close(to)


def goes_on(pipe):
    """Whether the other end is still open."""
    try:
        return os.read(pipe, 1) != b""
    except BlockingIOError:
        return True


def listing(directory, prefix, rounds):
    """Lists a directory in which another process makes and removes files: each with the prefix must be there once."""
    ours, its = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(its)
        os.set_blocking(ours, False)
        for i in range(10**6):
            name = f"{directory}/churn{i % 7}"
            with open(name, "w") as file:
                file.write("x" * (i % 2))
            os.unlink(name)
            if not goes_on(ours):
                os._exit(0)
    os.close(ours)
    wrong = 0
    want = sorted(name for name in os.listdir(directory) if name.startswith(prefix))
    for _ in range(int(rounds)):
        got = os.listdir(directory)
        wrong += sorted(name for name in got if name.startswith(prefix)) != want
        wrong += any(name.startswith(".saveseal.") for name in got)
    os.close(its)
    os.waitpid(child, 0)
    print(len(want), "names,", wrong, "wrong lists")


def meet(name):
    """A unix socket in the directory."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(name)
    server.listen(1)
    client = socket.socket(socket.AF_UNIX)
    client.connect(name)
    client.sendall(b"through a socket")
    print(server.accept()[0].recv(99))


def lock(name):
    """A child tries the locks that its parent holds, before and after they are given up."""
    fd = os.open(name, os.O_RDWR | os.O_CREAT)
    os.write(fd, b"locked")
    for kind in fcntl.lockf, fcntl.flock:
        kind(fd, fcntl.LOCK_EX)
        for expected in "held", "free":
            child = os.fork()
            if child == 0:
                other = os.open(name, os.O_RDWR)
                try:
                    kind(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    print(kind.__name__, expected, "got it", flush=True)
                except OSError as error:
                    print(kind.__name__, expected, errno.errorcode[error.errno], flush=True)
                os.close(other)
                os._exit(0)
            os.waitpid(child, 0)
            kind(fd, fcntl.LOCK_UN)
    os.close(fd)


def access(*names):
    for name in names:
        print(name, *(int(os.access(name, mode)) for mode in (os.F_OK, os.R_OK, os.W_OK, os.X_OK)))


def times(name, which="mtime"):
    """What fstat says after utimens on the descriptor of a draft, and stat when it is published."""
    fd = os.open(name, os.O_WRONLY | os.O_CREAT)
    os.write(fd, b"x" * 10000)
    os.utime(fd, ns=(1111111111222222222, 1333333333444444444))
    print(getattr(os.fstat(fd), f"st_{which}_ns"), os.fstat(fd).st_size)
    os.close(fd)
    print(getattr(os.stat(name), f"st_{which}_ns"))


def descriptor(name):
    """fchmod, fchown, fsetxattr and ftruncate of an open draft."""
    fd = os.open(name, os.O_RDWR | os.O_CREAT, 0o600)
    os.write(fd, b"0123456789" * 1000)
    os.fchmod(fd, 0o640)
    os.fchown(fd, 65534, 100)
    os.setxattr(fd, "user.note", b"value")
    os.ftruncate(fd, 5000)
    os.fdatasync(fd)
    os.ftruncate(fd, 7000)
    print(os.listxattr(fd), os.fstat(fd).st_mode, os.fstat(fd).st_size)
    os.close(fd)


def movedir(old, new):
    """Renames a directory while a draft in it is open, makes a file there, and goes on writing."""
    fd = os.open(old + "/image", os.O_WRONLY | os.O_CREAT)
    os.write(fd, b"before " * 1000)
    os.rename(old, new)
    os.write(fd, b"after " * 1000)
    print(os.path.exists(old), sorted(os.listdir(new)), os.stat(new + "/image").st_size)
    os.close(fd)


def device(name):
    print(outcome(lambda: os.write(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), b"x")))


def node(name):
    """A regular file by mknod, written by opening it."""
    os.mknod(name, 0o640)
    with open(name, "wb") as file:
        file.write(b"made by mknod")


def attempt(name, flags, mode="644"):
    """Opens with the flags named, and closes."""
    bits = sum(getattr(os, "O_" + flag) for flag in flags.split("|"))
    print(outcome(lambda: os.close(os.open(name, bits, int(mode, 8)))) or "opened")


def published(name):
    """Goes on through a descriptor for reading after the draft was published by closing the other one."""
    writer = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    reader = os.open(name, os.O_RDONLY)
    os.write(writer, b"abc" * 1000)
    os.close(writer)
    print(os.fstat(reader).st_size, os.pread(reader, 3, 0), outcome(os.write, reader, b"x"))
    os.fchmod(reader, 0o600)
    os.setxattr(reader, "user.note", b"after")
    os.utime(reader, (5, 6))
    print(oct(os.fstat(reader).st_mode), os.stat(name).st_mtime)


def inodes():
    """The numbers in listings are those that stat tells; the types that listings tell."""
    for entry in sorted(os.scandir("."), key=lambda entry: entry.name):
        kinds = entry.is_file(follow_symlinks=False), entry.is_dir(follow_symlinks=False), entry.is_symlink()
        print(entry.name, entry.inode() == os.lstat(entry.name).st_ino, *kinds)


globals()[sys.argv[1]](*sys.argv[2:])
