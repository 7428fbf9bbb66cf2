"""Images of all kinds, made by QEMU's own programs, and the places in them."""
import os
import struct
import subprocess

COPIED = 1 << 63
OFFSET = 0x00FFFFFFFFFFFE00

# How long a key takes is measured by qemu-img, in ticks of some kernels: with a digest that is made faster than one comes
# it gives up ("Unable to get accurate CPU usage").
LUKS = "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10,encrypt.hash-alg=sha512"
SECRET = "saveseal"


def run(*arguments, status=0):
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
    if status is not None and done.returncode != status:
        raise RuntimeError(f"{arguments}: {done.returncode}: {done.stdout}{done.stderr}")
    return done


class Image:
    """One image: how QEMU has to be asked for it, and what is where."""

    def __init__(self, path, luks=False):
        self.path, self.luks = path, luks

    def source(self, path):
        """The arguments that name path to qemu-img and qemu-io."""
        if not self.luks:
            return ["-f", "qcow2", path]
        return ["--object", f"secret,id=s,data={SECRET}", "--image-opts",
                f"driver=qcow2,encrypt.key-secret=s,file.filename={path}"]

    def io(self, *commands, status=0):
        run("qemu-io", "-t", "unsafe", *self.source(self.path)[:-1], *(word for command in commands for word in ("-c", command)),
            self.source(self.path)[-1], status=status)


def make(directory, name, options="", size="256K", commands=("write -P 1 0 40K", "write -P 2 100K 3000"), luks=False, more=()):
    """Creates an image, writes to it by qemu-io, and runs qemu-img with more."""
    path = os.path.join(directory, name)
    extra = ["--object", f"secret,id=s,data={SECRET}"] if luks else []
    run("qemu-img", "create", "-q", *extra, "-f", "qcow2", *(["-o", options] if options else []), path, size)
    image = Image(path, luks)
    if commands:
        image.io(*commands)
    for words in more:
        run("qemu-img", *(path if word == "IMAGE" else word for word in words))
    return image


def snapshots(*names):
    return [("snapshot", "-c", name, "IMAGE") for name in names]


def bitmap(name, *options):
    return [("bitmap", "--add", *options, "IMAGE", name)]


def compressed(directory, name, options, cluster=65536):
    """Data that compresses well, and data that does not, converted."""
    raw, path = os.path.join(directory, "raw"), os.path.join(directory, name)
    with open(raw, "wb") as file:
        for i in range(24):
            file.write((bytes([i]) * (cluster - 1000) + os.urandom(1000)) if i % 5 else os.urandom(cluster))
    run("qemu-img", "convert", "-q", "-c", "-O", "qcow2", "-o", options, raw, path)
    return Image(path)


def with_vm_state(directory, name):
    """A snapshot of a machine, its memory within the image."""
    image = make(directory, name, "cluster_size=4K", "1M")
    machine = subprocess.run(["qemu-system-x86_64", "-M", "none", "-nodefaults", "-display", "none", "-monitor",
                              "stdio", "-drive", f"file={image.path},format=qcow2,if=none"], input="savevm one\nquit\n",
                             capture_output=True, text=True, timeout=60)
    if "one" not in run("qemu-img", "snapshot", "-l", image.path).stdout:
        raise RuntimeError(machine.stdout + machine.stderr)
    return image


def whole(directory):
    """Images that are as their programs left them: all have to be complete."""
    base = make(directory, "base")
    for bits in (9, 12, 16, 21):
        yield make(directory, f"clusters-{bits}", f"cluster_size={1 << bits}")
    for bits in (1, 2, 4, 8, 32, 64):
        yield make(directory, f"refcounts-{bits}", f"refcount_bits={bits},cluster_size=512", "2M")
    yield base
    yield make(directory, "empty", size="0", commands=())
    yield make(directory, "odd-end", size="100000", commands=("write 0 99840",))
    yield make(directory, "version-2", "compat=0.10,cluster_size=4K", more=snapshots("a"))
    yield make(directory, "lazy", "lazy_refcounts=on")
    yield make(directory, "large", size="200G", commands=("write 0 4K", "write 150G 4K"))
    for kind in ("metadata", "falloc", "full"):
        yield make(directory, kind, f"preallocation={kind},cluster_size=4K", "1000000", ())
    yield make(directory, "extended", "extended_l2=on,cluster_size=16K", commands=("write 0 1K", "write -z 40K 16K", "write 200K 5K"))
    yield make(directory, "extended-metadata", "extended_l2=on,preallocation=metadata", "1000000", ())
    yield make(directory, "zeros", "cluster_size=4K", commands=("write 0 64K", "write -z 8K 16K", "write -zu 32K 8K", "discard 48K 8K"))
    yield make(directory, "snapshots", "cluster_size=1K", more=(*snapshots("a", "b"), ("snapshot", "-d", "a", "IMAGE")))
    image = make(directory, "snapshots-written", "cluster_size=1K,refcount_bits=8", more=snapshots("a", "b"))
    image.io("write 0 100K", "discard 20K 4K")
    run("qemu-img", "snapshot", "-a", "a", image.path)
    run("qemu-img", "resize", "-q", image.path, "300K")
    yield image
    yield with_vm_state(directory, "vm-state")
    yield make(directory, "bitmaps", more=(*bitmap("a"), *bitmap("b", "-g", "512"), *bitmap("c", "--disable")))
    yield make(directory, "backing", f"backing_file={base.path},backing_fmt=qcow2", commands=("write 30K 10K",))
    yield make(directory, "data-file", f"data_file={directory}/data,cluster_size=4K", commands=("write 0 20K", "write -z 8K 4K"))
    yield make(directory, "data-file-raw", f"data_file={directory}/data-raw,data_file_raw=on,extended_l2=on")
    yield make(directory, "luks", LUKS, luks=True)
    yield compressed(directory, "zlib", "cluster_size=64K")
    yield compressed(directory, "zstd", "compression_type=zstd,cluster_size=4K", 4096)
    yield compressed(directory, "compressed-2", "compat=0.10,cluster_size=512", 512)


def to_damage(directory):
    """Small images with something of everything, to be damaged."""
    image = make(directory, "d-plain", "cluster_size=512", "64K", ("write 0 8K", "write -z 2K 512", "write 40K 1K"),
                 more=(*snapshots("s1"), *bitmap("b1", "-g", "512")))
    image.io("write 1K 2K")
    yield image
    yield make(directory, "d-v2", "compat=0.10,cluster_size=1K", "64K", ("write 0 8K",), more=snapshots("s1"))
    yield compressed(directory, "d-zlib", "cluster_size=4K", 4096)
    yield make(directory, "d-extended", "extended_l2=on,cluster_size=16K", commands=("write 0 1K", "write -z 2K 512", "write 200K 5K"))
    yield make(directory, "d-bits1", "refcount_bits=1,cluster_size=512", "64K", ("write 0 3K",))
    yield make(directory, "d-bits64", "refcount_bits=64,cluster_size=512", "64K", ("write 0 3K",), more=snapshots("s1"))
    yield make(directory, "d-data", f"data_file={directory}/d-data.raw,cluster_size=4K", "64K", ("write 0 20K",))
    yield make(directory, "d-lazy", "lazy_refcounts=on,cluster_size=4K", "64K", ("write 0 8K",))
    yield make(directory, "d-luks", f"{LUKS},cluster_size=4K", "64K", ("write 0 8K",), luks=True)


class Places:
    """What is where in an image's bytes: fields is a list of (name, offset, width), bases the offsets of structures."""

    def __init__(self, data):
        def u32(at):
            return struct.unpack_from(">I", data, at)[0]

        def u64(at):
            return struct.unpack_from(">Q", data, at)[0]

        self.fields, self.luks, version = [], 0, u32(4)
        self.cluster = 1 << u32(20)
        header = [("version", 4, 4), ("backing-offset", 8, 8), ("backing-len", 16, 4), ("cluster-bits", 20, 4),
                  ("virtual-size", 24, 8), ("encryption", 32, 4), ("l1-size", 36, 4), ("l1-offset", 40, 8),
                  ("refcounts-offset", 48, 8), ("refcounts-clusters", 56, 4), ("snapshot-count", 60, 4),
                  ("snapshots-offset", 64, 8)]
        if version == 3:
            header += [("incompatible", 72, 8), ("compatible", 80, 8), ("autoclear", 88, 8), ("refcount-order", 96, 4),
                       ("header-len", 100, 4), ("compression", 104, 1)]
        self.fields += header
        self.order = u32(96) if version == 3 else 4
        self.bases = {"header": 0, "l1": u64(40), "refcounts": u64(48), "snapshots": u64(64)}
        at = u32(100) if version == 3 else 72
        while u32(at):
            kind, length = u32(at), u32(at + 4)
            self.fields += [("extension-type", at, 4), ("extension-len", at + 4, 4)]
            if kind == 0x23852875:
                self.fields += [("bitmap-count", at + 8, 4), ("directory-size", at + 16, 8), ("directory", at + 24, 8)]
                directory = u64(at + 24)
                table = u64(directory)
                self.bases.update(directory=directory, table=table)
                self.fields += [("bitmap-table", directory, 8), ("bitmap-table-size", directory + 8, 4),
                                ("bitmap-flags", directory + 12, 4), ("bitmap-type", directory + 16, 1),
                                ("bitmap-entry", table, 8)]
            if kind == 0x0537BE77:
                self.fields += [("luks", at + 8, 8), ("luks-len", at + 16, 8)]
                self.bases["luks"], self.luks = u64(at + 8), u64(at + 16)
            at += 8 + (length + 7) // 8 * 8
        tables = [(u64(40), u32(36), "l1")]
        if u32(60):
            at = u64(64)
            self.fields += [("snapshot-l1", at, 8), ("snapshot-l1-size", at + 8, 4), ("snapshot-id", at + 12, 2),
                            ("snapshot-extra", at + 36, 4)]
            tables.append((u64(at), u32(at + 8), "snapshot-l1"))
        wide = 16 if version == 3 and u64(72) & 16 else 8
        for offset, entries, name in tables:
            self.bases[name] = offset
            used = [i for i in range(entries) if u64(offset + 8 * i)]
            for i in {*used[:2], *used[-1:]}:
                self.fields.append((name + "-entry", offset + 8 * i, 8))
                self._l2(u64(offset + 8 * i) & OFFSET, wide, name, u64)
        self.fields.append(("refcounts-entry", u64(48), 8))
        self.bases["block"] = block = u64(u64(48))
        self.counts = block
        self.fields = list(dict.fromkeys(self.fields))

    def _l2(self, table, wide, name, u64):
        self.bases[name + "-l2"] = table
        used = [at for at in range(table, table + self.cluster, wide) if u64(at)]
        for at in {*used[:2], *used[-2:], table + self.cluster - wide}:
            self.fields.append((name + "-l2-entry", at, 8))
            if wide == 16:
                self.fields.append((name + "-l2-subclusters", at + 8, 8))
        if used and not u64(used[0]) >> 62 & 1:
            self.bases[name + "-data"] = u64(used[0]) & OFFSET

