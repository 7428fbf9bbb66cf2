"""fileops.py PART DIR: does what programs do to files in DIR and prints what came of it, so that two directories can be
compared. PART root works as root, nobody as a user without privileges (but in group 13) in what prepare has prepared."""
import ctypes
import errno
import fcntl
import hashlib
import mmap
import os
import socket
import stat
import sys

libc = ctypes.CDLL(None, use_errno=True)
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16
NOREPLACE, EXCHANGE = 1, 2
NOBODY = 65534
DATA = bytes(range(256)) * 1024


def call(function, *arguments):
    if function(*arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def fallocate(fd, mode, offset, length):
    call(libc.fallocate64, fd, mode, ctypes.c_int64(offset), ctypes.c_int64(length))


def rename2(old, new, flags):
    call(libc.renameat2, -100, old.encode(), -100, new.encode(), flags)


def show(path):
    """Everything about a file that does not change from one directory to another."""
    st = os.lstat(path)
    text = f"{stat.filemode(st.st_mode)} {st.st_uid}:{st.st_gid} links {st.st_nlink}"
    if stat.S_ISREG(st.st_mode):
        with open(path, "rb") as file:
            content = file.read()
        text += f" size {st.st_size} read {len(content)} {hashlib.sha256(content).hexdigest()[:12]}"
    if stat.S_ISLNK(st.st_mode):
        return text + f" -> {os.readlink(path)}"
    names = sorted(name for name in os.listxattr(path) if not name.startswith("user.saveseal."))
    return text + "".join(f" {name}={hashlib.sha256(os.getxattr(path, name)).hexdigest()[:6]}" for name in names)


def step(what, function, *arguments):
    """Prints the result, or the name of the error."""
    try:
        result = function(*arguments)
    except OSError as error:
        result = errno.errorcode[error.errno]
    print(f"{what}: {result}")
    return result


def put(path, data=DATA, flags=os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode=0o666):
    fd = os.open(path, flags, mode)
    try:
        while data:
            data = data[os.write(fd, data):]
    finally:
        os.close(fd)


def opened(path, flags, mode=0o666):
    os.close(os.open(path, flags, mode))


def content():
    put("a")
    step("created", show, "a")
    put("a", b"short")
    step("overwritten", show, "a")
    put("a", b" and more", os.O_WRONLY | os.O_APPEND)
    step("appended", show, "a")
    put("a", b"SH", os.O_RDWR)
    step("changed at its start", show, "a")
    step("truncated longer", lambda: (os.truncate("a", 100000), show("a"))[1])
    step("truncated shorter", lambda: (os.truncate("a", 3), show("a"))[1])
    step("truncated below 0", lambda: os.truncate("a", -1))
    step("O_RDONLY | O_TRUNC", lambda: (opened("a", os.O_RDONLY | os.O_TRUNC), show("a"))[1])
    for flag in "O_SYNC", "O_DSYNC", "O_NOATIME", "O_NONBLOCK":
        put("b", DATA[:5000], os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, flag))
        step(flag, show, "b")


def sparse():
    fd = os.open("sparse", os.O_RDWR | os.O_CREAT, 0o600)
    os.pwrite(fd, DATA, 1 << 20)
    step("sparse", os.fstat(fd).st_size.__str__)
    step("data of the draft", os.lseek, fd, 0, os.SEEK_DATA)
    step("hole of the draft", os.lseek, fd, 1 << 20, os.SEEK_HOLE)
    step("fallocate", fallocate, fd, 0, 0, 3 << 20)
    step("fallocate KEEP_SIZE", fallocate, fd, KEEP_SIZE, 3 << 20, 1 << 20)
    step("fallocate PUNCH_HOLE", fallocate, fd, PUNCH_HOLE | KEEP_SIZE, 1 << 20, 65536)
    step("fallocate ZERO_RANGE", fallocate, fd, ZERO_RANGE, (1 << 20) + 65536, 65536)
    step("fallocate of nothing", fallocate, fd, 0, 0, 0)
    step("size", lambda: os.fstat(fd).st_size)
    step("read back", lambda: hashlib.sha256(os.pread(fd, 4 << 20, 0)).hexdigest()[:12])
    os.close(fd)
    step("sparse", show, "sparse")
    fd = os.open("sparse", os.O_RDONLY)
    step("hole of the image", os.lseek, fd, (1 << 20) + 131072, os.SEEK_HOLE)
    step("data behind the end", os.lseek, fd, 9 << 20, os.SEEK_DATA)
    step("write to what is open for reading", os.write, fd, b"x")
    os.close(fd)


def memory():
    fd = os.open("mapped", os.O_RDWR | os.O_CREAT, 0o644)
    os.ftruncate(fd, 65536)
    with mmap.mmap(fd, 65536) as area:
        area[1000:1005] = b"hello"
        area.flush()
        step("a mapping shows in reads", os.pread, fd, 5, 1000)
        os.pwrite(fd, b"HELLO", 1000)
        step("a write shows in the mapping", lambda: area[1000:1005])
    os.close(fd)
    step("mapped", show, "mapped")
    fd = os.open("mapped", os.O_RDONLY)
    with mmap.mmap(fd, 65536, prot=mmap.PROT_READ) as area:
        step("an image mapped shared", lambda: area[1000:1005])
    with mmap.mmap(fd, 65536, flags=mmap.MAP_PRIVATE) as area:
        area[0:1] = b"x"
        step("an image mapped privately", lambda: area[0:1])
    os.close(fd)
    buffer = mmap.mmap(-1, 131072)
    buffer[:] = DATA[:131072]
    fd = os.open("direct", os.O_RDWR | os.O_CREAT | os.O_DIRECT, 0o600)
    step("O_DIRECT write", os.write, fd, buffer)
    step("O_DIRECT read", lambda: os.preadv(fd, [buffer], 0))
    os.close(fd)
    step("direct", show, "direct")
    fd = os.open("direct", os.O_RDONLY | os.O_DIRECT)
    step("O_DIRECT read of an image", lambda: (os.preadv(fd, [buffer], 65536), bytes(buffer[:65536]) == DATA[65536:131072]))
    os.close(fd)


def attributes():
    os.umask(0o027)
    put("mode", mode=0o777)
    step("umask", show, "mode")
    os.umask(0o022)
    step("chmod", lambda: (os.chmod("mode", 0o4751), show("mode"))[1])
    step("chown", lambda: (os.chown("mode", NOBODY, 12), show("mode"))[1])
    os.chmod("mode", 0o4751)
    os.setxattr("mode", "user.note", b"kept")
    put("mode", b"new version")
    step("overwritten: owner, mode, attributes", show, "mode")
    step("utime", lambda: (os.utime("mode", ns=(10**18 + 1, 2 * 10**18 + 5)), os.stat("mode").st_mtime_ns)[1])
    fd = os.open("copied", os.O_WRONLY | os.O_CREAT, 0o600)
    os.write(fd, DATA)
    os.fchmod(fd, 0o640)
    os.fchown(fd, NOBODY, NOBODY)
    os.setxattr(fd, "user.from", b"elsewhere")
    os.utime(fd, ns=(10**18, 3 * 10**18 + 7))
    os.close(fd)
    step("attributes set on a draft", lambda: show("copied") + f" {os.stat('copied').st_mtime_ns}")
    step("setxattr", os.setxattr, "copied", "user.big", DATA[:2000])
    step("setxattr XATTR_CREATE", os.setxattr, "copied", "user.big", b"", os.XATTR_CREATE)
    step("setxattr XATTR_REPLACE", os.setxattr, "copied", "user.none", b"", os.XATTR_REPLACE)
    step("getxattr", os.getxattr, "copied", "user.none")
    step("removexattr", os.removexattr, "copied", "user.big")
    step("trusted xattr", os.setxattr, "copied", "trusted.libvirt.security.dac", b"+0:+0")
    step("security xattr", os.setxattr, "copied", "security.test", b"x")
    step("copied", show, "copied")
    step("statvfs", lambda: (os.statvfs(".").f_bsize, os.statvfs(".").f_namemax, os.statvfs(".").f_frsize))


def names():
    os.mkdir("d", 0o2775)
    step("mkdir", show, "d")
    put("d/x", b"x")
    step("rmdir of a full directory", os.rmdir, "d")
    step("mkdir of what is there", os.mkdir, "d")
    step("create of a directory", opened, "d", os.O_CREAT | os.O_WRONLY)
    step("O_DIRECTORY on a file", opened, "d/x", os.O_DIRECTORY)
    step("O_EXCL", opened, "d/x", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    step("nothing", opened, "nothing", os.O_RDWR)
    step("a name too long", put, "n" * 256)
    put("n" * 255, b"long")
    step("the longest name", show, "n" * 255)
    for odd in b"a b", b"-n", b"\n", b"\x01\x7f", b"\xff\n %=" * 51, "\u00fc".encode() * 127:
        step("an odd name", lambda: (put(odd, b"odd"), os.unlink(odd)))
    put("e", b"e")
    step("rename NOREPLACE over a file", rename2, "e", "d/x", NOREPLACE)
    step("rename NOREPLACE", rename2, "e", "e2", NOREPLACE)
    step("rename EXCHANGE", rename2, "e2", "d", EXCHANGE)
    step("the one", show, "d")
    step("the other", show, "e2/x")
    step("rename EXCHANGE back", rename2, "e2", "d", EXCHANGE)
    step("rename over a file", lambda: (os.rename("e2", "d/x"), show("d/x"))[1])
    step("rename of a file over a directory", os.rename, "d/x", "d")
    os.mkdir("d/sub")
    step("rename of a directory into itself", os.rename, "d", "d/sub/d")
    step("rename of a directory", lambda: (os.rename("d", "d2"), os.listdir("d2").sort())[1])
    step("symlink", lambda: (os.symlink("d2/x", "s"), show("s"))[1])
    put("s", b"through the link")
    step("written through a link", show, "d2/x")
    step("O_NOFOLLOW", opened, "s", os.O_RDONLY | os.O_NOFOLLOW)
    step("link", lambda: (os.link("d2/x", "hard"), show("hard"))[1])
    step("link over a file", os.link, "d2/x", "hard")
    step("unlink", lambda: (os.unlink("d2/x"), show("hard"))[1])
    step("unlink of nothing", os.unlink, "d2/x")
    step("unlink of a directory", os.unlink, "d2")
    step("mkfifo", lambda: (os.mkfifo("fifo", 0o622), show("fifo"))[1])
    step("mknod", lambda: (os.mknod("null", 0o600 | stat.S_IFCHR, os.makedev(1, 3)), show("null"))[1])
    step("a file by mknod", lambda: (os.mknod("file", 0o600 | stat.S_IFREG), show("file"))[1])
    with socket.socket(socket.AF_UNIX) as unix:
        step("socket", lambda: (unix.bind("sock"), show("sock"))[1])
    os.mkdir("many")
    for i in range(2000):
        os.symlink(str(i), f"many/name-{i:04}")
    step("2000 names", lambda: sorted(os.listdir("many")) == [f"name-{i:04}" for i in range(2000)])
    step("2000 names, their types", lambda: sum(entry.is_symlink() for entry in os.scandir("many")))


def descriptors():
    one = os.open("twice", os.O_RDWR | os.O_CREAT, 0o600)
    two = os.open("twice", os.O_RDWR)
    os.write(one, b"one ")
    os.pwrite(two, b"two", 4)
    step("two descriptors, one file", os.pread, one, 10, 0)
    step("flock", fcntl.flock, one, fcntl.LOCK_EX | fcntl.LOCK_NB)
    step("flock of the other", fcntl.flock, two, fcntl.LOCK_EX | fcntl.LOCK_NB)
    step("lockf", fcntl.lockf, one, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 100)
    os.close(one)
    os.fsync(two)
    os.close(two)
    step("twice", show, "twice")
    fd = os.open("gone", os.O_RDWR | os.O_CREAT, 0o600)
    os.write(fd, b"before")
    os.unlink("gone")
    os.write(fd, b" after")
    step("unlinked while open", lambda: (os.pread(fd, 20, 0), os.fstat(fd).st_nlink, os.path.exists("gone")))
    os.close(fd)
    put("from", DATA)
    source, to = os.open("from", os.O_RDONLY), os.open("to", os.O_WRONLY | os.O_CREAT, 0o600)
    step("copy_file_range", os.copy_file_range, source, to, 100000, 5, 0)
    step("sendfile", os.sendfile, to, source, 0, 1000)
    os.close(source)
    os.close(to)
    step("to", show, "to")
    put("program", open("/bin/true", "rb").read(), mode=0o755)
    step("run", lambda: os.spawnl(os.P_WAIT, "./program", "program"))
    step("run what may not be", lambda: (os.chmod("program", 0o644), os.access("program", os.X_OK))[1])


def prepare():
    """What the nobody part meets."""
    os.chmod(".", 0o755)
    for name, mode in ("private", 0o600), ("readable", 0o644), ("writable", 0o666):
        put(name, b"root's")
        os.chmod(name, mode)
    for name, mode in ("open", 0o777), ("sticky", 0o1777), ("closed", 0o700), ("group", 0o2777), ("team", 0o2770):
        os.mkdir(name)
        os.chmod(name, mode)
    for name in "group", "team":
        os.chown(name, 0, 12 if name == "group" else 13)
        os.chmod(name, 0o2777 if name == "group" else 0o2770)
    for name in "setuid", "setgid":
        put(name, b"root's")
        os.chmod(name, 0o4777 if name == "setuid" else 0o2777)
    put("sticky/root's", b"x")
    put("open/root's", b"x", mode=0o600)


def nobody():
    os.umask(0o022)
    step("create in root's directory", put, "mine")
    for name in "private", "readable", "writable", "closed/x":
        step(f"read {name}", lambda: open(name, "rb").read())
        step(f"write {name}", lambda: (put(name, b"nobody's", os.O_WRONLY | os.O_TRUNC), show(name))[1])
        step(f"edit {name}", lambda: (put(name, b"N", os.O_RDWR), show(name))[1])
        step(f"truncate {name}", os.truncate, name, 3)
        step(f"chmod {name}", os.chmod, name, 0o777)
        step(f"chown {name}", os.chown, name, NOBODY, NOBODY)
        step(f"utime {name}", os.utime, name, (1, 1))
        step(f"setxattr {name}", os.setxattr, name, "user.x", b"x")
        step(f"access {name}", lambda: [os.access(name, mode) for mode in (os.F_OK, os.R_OK, os.W_OK, os.X_OK)])
        step(f"unlink {name}", os.unlink, name)
        step(f"rename {name}", os.rename, name, "open/x")
    for name in "setuid", "setgid":
        step(f"write {name}", lambda: (put(name, b"N", os.O_RDWR), show(name))[1])
    step("trusted xattr", os.setxattr, "writable", "trusted.x", b"x")
    step("security xattr", os.setxattr, "writable", "security.x", b"x")
    step("a capability", os.setxattr, "open", "security.capability", b"\x01\0\0\x02" + b"\xff" * 16)
    for place in "open", "sticky", "group", "team":
        step(f"create in {place}", lambda: (put(f"{place}/mine"), show(f"{place}/mine"))[1])
        step(f"mkdir in {place}", lambda: (os.mkdir(f"{place}/dir"), show(f"{place}/dir"))[1])
        step(f"overwrite in {place}", lambda: (put(f"{place}/mine", b"again"), show(f"{place}/mine"))[1])
        step(f"setgid file in {place}", lambda: (put(f"{place}/sgid", mode=0o2775), show(f"{place}/sgid"))[1])
        step(f"made setgid in {place}", lambda: (os.chmod(f"{place}/sgid", 0o6775), show(f"{place}/sgid"))[1])
        step(f"chmod in {place}", lambda: (os.chmod(f"{place}/mine", 0o600), show(f"{place}/mine"))[1])
        step(f"chown in {place}", os.chown, f"{place}/mine", 0, 0)
        step(f"mknod in {place}", os.mknod, f"{place}/null", stat.S_IFCHR, os.makedev(1, 3))
        step(f"unlink in {place}", os.unlink, f"{place}/root's")
        step(f"replace in {place}", lambda: (put(f"{place}/t"), os.rename(f"{place}/t", f"{place}/root's")))
        step(f"rename in {place}", lambda: (os.rename(f"{place}/mine", f"{place}/new"), show(f"{place}/new"))[1])
        step(f"link in {place}", lambda: (os.link(f"{place}/new", f"{place}/link"), show(f"{place}/link"))[1])
        step(f"link to root's in {place}", os.link, "private", f"{place}/private")


def main():
    part, directory = sys.argv[1:]
    os.chdir(directory)
    if part == "root":
        os.umask(0o022)
        for work in content, sparse, memory, attributes, names, descriptors:
            work()
    elif part == "prepare":
        prepare()
    else:
        nobody()


main()
