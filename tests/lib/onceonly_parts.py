"""What the operations of onceonly are made of: calls and their outcomes, files to begin with, and common forms of an operation."""
import ctypes
import errno
import hashlib
import os
import signal
import stat
import time

libc = ctypes.CDLL(None, use_errno=True)
DATA = b"".join(i.to_bytes(4, "big") for i in range(5000))
RW = os.O_RDWR
NEW = os.O_RDWR | os.O_CREAT
TRUNC = os.O_TRUNC

# --- calls ---


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


# --- forms of an operation ---


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


# --- what there is to begin with ---


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


def image_and_settling():
    make("a")
    save("b", b"the other one")


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
