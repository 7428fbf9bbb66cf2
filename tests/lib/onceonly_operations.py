"""The operations of onceonly, by their titles. Those with steps of their own are here, the others have a common form of onceonly_parts."""
import ctypes
import hashlib
import mmap
import os
import stat
import struct

from onceonly_parts import (DATA, NEW, RW, TRUNC, back, call, damaged, directory, does, draft, draft_and_directory,
                            draft_and_image, draft_over_image, failed_draft, full_directory, image, images, look,
                            image_and_settling, make, on_draft, opens, outcome, rename2, settling, settling_both, two_drafts, with_xattr)


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
    "CREATE to read": opens("a", os.O_RDONLY | os.O_CREAT),
    "CREATE to read, excl": opens("a", os.O_RDONLY | os.O_CREAT | os.O_EXCL),
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
    "RENAME over settling": does(image_and_settling, os.rename, "a", "b"),
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
    "RENAME image over own draft": does(draft_and_image, os.rename, "b", "a"),
    "RENAME image exchanged with own draft": does(draft_and_image, rename2, "b", "a", 2),
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
