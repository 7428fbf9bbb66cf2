#!/usr/bin/env python3
"""bench.py OUT_DIR [ROW...]: how fast a save directory is, as a ratio to the same directory without Saveseal and to bindfs
over it. Writes OUT_DIR/bench.json and OUT_DIR/bench.svg, and prints a table. ROW: only the rows that have this in their
name; "preload" are those of the library of saveseal run, which are left out where it is not built. Where one operation
counts, microseconds are told, too, and how many more than natively.

In each round every contender does the same once, one after the other, in every second round from the last to the first.
Each is compared with the native directory of its round: these ratios (more is faster) are what counts, by their median.
Needs root. ROUNDS: default 5; SIZE: MiB of the big files, default 512. BUILD, IO: where the programs are."""
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

BUILD = os.environ["BUILD"]
IO = os.environ["IO"]
ROUNDS = int(os.environ.get("ROUNDS", "5"))
SIZE = int(os.environ.get("SIZE", "512"))
DAEMON = os.path.join(BUILD, "fuse", "savesealfs")
TOOL = os.path.join(BUILD, "tools", "saveseal")
LIBRARY = os.path.join(BUILD, "preload", "libsaveseal-preload.so")


def run(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def phases(place, *arguments):
    return [float(word) for word in run(*place.prefix, IO, *map(str, arguments)).split()]


def timed(*command):
    begin = time.monotonic()
    run(*command)
    return time.monotonic() - begin


def warm_memory(place):
    """Before what takes much of it, for what is free may be the host's, see docs/performance.md: a file's pages, which are
    then free and taken first. Not many more than are needed, for then the host gets them back at once."""
    path = os.path.join(place.store.root, "warm")
    run(IO, "write", path, str(SIZE + SIZE // 2), "1024")
    os.unlink(path)


def drop_caches():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("3")


class Place:
    """A directory, and what is mounted over it, or what programs are started with there."""

    def __init__(self, store, kind, name, options=()):
        self.name = name
        self.store = store
        self.root = root = store.root
        self.prefix = []
        self.back = os.path.join(root, name)
        self.dir = self.back
        self.daemon = None
        os.mkdir(self.back)
        if kind == "preload":
            self.prefix = [TOOL, "run", "--dir", self.dir, "--"]
        if kind in ("native", "by hand", "preload"):
            return
        self.dir += ".mnt"
        os.mkdir(self.dir)
        command = {"bindfs": ["bindfs", "-f", self.back, self.dir],
                   "saveseal": [DAEMON, "-f", *options, self.back, self.dir]}[kind]
        self.daemon = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        for _ in range(200):
            if os.path.ismount(self.dir):
                return
            time.sleep(0.05)
        raise SystemExit("bench: %s did not mount" % name)

    def path(self, name):
        return os.path.join(self.dir, name)

    def close(self):
        if self.daemon:
            subprocess.run(["umount", self.dir], check=False)
            self.daemon.wait(timeout=60)


class Store:
    """A tmpfs, or a directory on disk, with all contenders."""

    SAVESEAL = {"saveseal": [], "header": ["-o", "digest=header"], "libvirt": ["-o", "format=libvirt"],
                "libvirt+header": ["-o", "format=libvirt,digest=header"]}

    def __init__(self, kind):
        self.root = tempfile.mkdtemp(prefix="saveseal-bench.", dir=os.environ.get("TMPDIR", "/var/tmp"))
        self.mounted = kind == "tmpfs"
        if self.mounted:
            run("mount", "-t", "tmpfs", "-o", "size=80%", "none", self.root)
        self.places = {}

    def place(self, name):
        if name not in self.places:
            kind = name if name in ("native", "bindfs", "by hand", "preload") else "saveseal"
            self.places[name] = Place(self, kind, name, self.SAVESEAL.get(name, ()))
        return self.places[name]

    def close(self):
        for place in self.places.values():
            place.close()
        if self.mounted:
            run("umount", self.root)
        shutil.rmtree(self.root, ignore_errors=True)


# --- what is measured: each takes a place and returns seconds ---


def write(block, *words, count=1):
    """count: how many of the phases write, fsync, close."""
    def measure(place):
        path = place.path("written")
        warm_memory(place)
        took = phases(place, "write", path, SIZE, block, *words)
        os.unlink(path)
        return sum(took[:count])
    return measure


def save(block, *words):
    """Until it is durable, and sealed: in a save directory close() sees to that, elsewhere an fsync."""
    with_fsync, without = write(block, *words, "fsync", count=3), write(block, *words, count=3)

    def measure(place):
        return (with_fsync if place.name in ("native", "bindfs") else without)(place)
    return measure


def prepared(place):
    """A sealed image, the same file for all: how fast one is read depends on the pages and blocks that it got."""
    saved = place.store.place("saveseal")
    if not os.path.exists(saved.path("image")):
        phases(saved, "write", saved.path("image"), SIZE, 1024, "fsync")
        os.stat(saved.path("image"))  # waits until it is published
    if not os.path.exists(place.path("image")):
        os.link(os.path.join(saved.back, "image"), os.path.join(place.back, "image"))
    return place.path("image")


def read(block, *words, cold=False):
    def measure(place):
        path = prepared(place)
        if cold:
            drop_caches()
            warm_memory(place)
        else:
            phases(place, "read", path, 1024)
        return phases(place, "read", path, block, *words)[0]
    return measure


def read_one(block):
    """The same file for all: how fast another is depends on the pages that it got."""
    def measure(place):
        path = os.path.join(place.root, "preload", "image")
        if not os.path.exists(path):
            phases(place, "write", path, SIZE, 1024)
        return phases(place, "read", path, block)[0]
    return measure


def look(what):
    def measure(place):
        if not os.path.exists(place.path("looked")):
            os.mkdir(place.path("looked"))
            for i in range(500):
                with open(place.path("looked/image.%d" % i), "wb") as file:
                    file.write(b"x" * 5000)
            time.sleep(1)
        return phases(place, what, place.path("looked"), 500, 20)[0]
    return measure


def small(count, native=()):
    """native: words for where close() is no save. By hand: what no save can do without, see io.c."""
    def measure(place):
        words = {"native": native, "bindfs": native, "by hand": ["by-hand"]}.get(place.name, ())
        directory = place.path("small")
        os.mkdir(directory)
        took = phases(place, "small", directory, count, *words)[0]
        shutil.rmtree(directory)
        return took
    return measure


def opens(how, directory="outside"):
    """OPENS times, of a file that nothing protects. directory: a symbolic link to where it is, for example."""
    def measure(place):
        outside, link = (os.path.join(place.root, name) for name in ("outside", "link"))
        if not os.path.exists(link):
            os.mkdir(outside)
            os.symlink("outside", link)
            with open(os.path.join(outside, "file"), "w") as file:
                file.write("x")
        return phases(place, "opens", os.path.join(place.root, directory, "file"), OPENS, how)[0]
    return measure


def many(place):
    directory = os.path.join(place.back, "many")
    if not os.path.exists(directory):
        os.mkdir(directory)
        for i in range(100000):
            os.close(os.open("%s/image.%d" % (directory, i), os.O_WRONLY | os.O_CREAT, 0o600))
    return place.path("many")


def listing(place):
    return phases(place, "list", many(place))[0]


def lookups(place):
    """Of names that nobody remembers."""
    path = many(place)
    drop_caches()
    return phases(place, "stat", path, LOOKUPS, 1)[0]


OPENS = 20000
LOOKUPS = 20000
ALL = ["native", "bindfs", "saveseal"]
ROWS = [
    # name, store, contenders, measure
    ("write 64 KiB, tmpfs", "tmpfs", ALL + ["libvirt"], write(64)),
    ("write 1 MiB, tmpfs", "tmpfs", ALL + ["libvirt"], write(1024)),
    ("write 1 MiB, 4 writers, tmpfs", "tmpfs", ALL + ["libvirt"], write(1024, "writers=4")),
    ("read 1 MiB warm, tmpfs", "tmpfs", ALL, read(1024)),
    ("read 32 KiB warm, tmpfs", "tmpfs", ALL, read(32)),
    ("open, read, close", "tmpfs", ALL, look("open")),
    ("stat", "tmpfs", ALL, look("stat")),
    ("1,000 files of 4 KiB, tmpfs", "tmpfs", ALL, small(1000)),
    ("list 100,000 files", "tmpfs", ALL, listing),
    ("look up 20,000 of them", "tmpfs", ALL, lookups),
    ("write 64 KiB and fsync, disk", "disk", ALL + ["libvirt"], write(64, "fsync", count=2)),
    ("write 1 MiB and fsync, disk", "disk", ALL + ["libvirt"], write(1024, "fsync", count=2)),
    ("the same, 4 writers", "disk", ALL + ["libvirt"], write(1024, "fsync", "writers=4", count=2)),
    ("save to durable and sealed, disk", "disk", ALL + ["libvirt"], save(1024)),
    ("the same, header digest", "disk", ["native", "bindfs", "header", "libvirt+header"], save(1024)),
    ("the same, O_DIRECT", "disk", ALL + ["libvirt"], save(1024, "direct")),
    ("fsync and then close, disk", "disk", ALL + ["libvirt"], write(1024, "fsync", count=3)),
    ("1,000 files of 4 KiB, native: fsync, disk", "disk", ALL, small(1000, ["fsync"])),
    ("read 1 MiB cold, disk", "disk", ALL, read(1024, cold=True)),
]
RUN = ["native", "preload"]
PRELOAD_ROWS = [
    # name, store, contenders, measure, operations: what it takes is told for one of them
    ("preload: write 1 MiB, tmpfs", "tmpfs", RUN, write(1024), 0),
    ("preload: read 1 MiB warm, tmpfs", "tmpfs", RUN, read_one(1024), 0),
    ("preload: write 1 MiB and fsync, disk", "disk", RUN, write(1024, "fsync", count=2), 0),
    ("preload: save to durable and sealed, disk", "disk", RUN, save(1024), 0),
    ("preload: save 4 KiB, tmpfs", "tmpfs", ["native", "by hand", "preload"], small(500), 500),
    ("preload: save 4 KiB, disk, native: fsync", "disk", RUN, small(100, ["fsync"]), 100),
    ("preload: open elsewhere to read", "tmpfs", RUN, opens("read"), OPENS),
    ("preload: open elsewhere to write", "tmpfs", RUN, opens("write"), OPENS),
    ("preload: the same by a symbolic link, to read", "tmpfs", RUN, opens("read", "link"), OPENS),
    ("preload: the same by a symbolic link, to write", "tmpfs", RUN, opens("write", "link"), OPENS),
    ("preload: fopen elsewhere", "tmpfs", RUN, opens("fopen"), OPENS),
]
# Times as many rounds, and short ones where microseconds count: what the library may cost is less than the noise of a few.
PRELOAD_ROUNDS, OPERATION_ROUNDS = 3, 10


def verify_rows(store):
    """GB/s of what checks a whole file, in the native directory."""
    path = prepared(store.place("saveseal"))
    back = os.path.join(store.place("saveseal").back, "image")
    programs = {"saveseal verify": [TOOL, "verify", path], "sha256sum": ["sha256sum", back]}
    if shutil.which("fsverity"):
        programs["fsverity digest"] = ["fsverity", "digest", back]
    rounds = {name: [] for name in programs}
    for _ in range(ROUNDS):
        for name, command in programs.items():
            rounds[name].append(timed(*command))
    return rounds


def many_rows(store, count=100000):
    """Seconds for a directory of many small sealed images, warm."""
    back = os.path.join(store.place("native").back, "sealed")
    os.mkdir(back)
    names = [os.path.join(back, f"{i:06}") for i in range(count)]
    for name in names:
        with open(name, "wb") as file:
            file.write(os.urandom(2048))
    for i in range(0, count, 1000):
        run(os.path.join(BUILD, "tests", "mkseal"), *names[i:i + 1000])
    programs = {"saveseal verify --quick": [TOOL, "verify", "--quick", "-r", back], "saveseal verify": [TOOL, "verify", "-r", back],
                "sha256sum": ["sh", "-c", 'cd "$0" && printf "%s\\n" * | xargs sha256sum', back]}
    rounds = {name: [] for name in programs}
    for _ in range(ROUNDS):
        for name, command in programs.items():
            rounds[name].append(timed(*command))
    shutil.rmtree(back)
    return rounds


def virsh_rows():
    """virsh save and restore, by a script of its own: it needs namespaces."""
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "virsh.sh")
    lines = run(script, str(ROUNDS)).split("\n")
    saves, restores = {}, {}
    for name, saved, restored in (line.split() for line in lines if line):
        saves.setdefault(name, []).append(float(saved))
        restores.setdefault(name, []).append(float(restored))
    return saves, restores


def measure_row(store, contenders, measure, rounds=ROUNDS):
    seconds = {name: [] for name in contenders}
    for place in [store.place(name) for name in contenders]:
        measure(place)  # not counted
    for i in range(rounds):
        for name in contenders[::-1] if i % 2 else contenders:
            seconds[name].append(measure(store.place(name)))
    return seconds


def spread(values, digits=3):
    return {"median": round(statistics.median(values), digits), "min": round(min(values), digits),
            "max": round(max(values), digits)}


def summary(seconds, base, operations=0):
    result = {}
    for name, times in seconds.items():
        ratios = [b / t for b, t in zip(seconds[base], times)]
        result[name] = {"seconds": [round(t, 6) for t in times], "ratio": round(statistics.median(ratios), 3),
                        "min": round(min(ratios), 3), "max": round(max(ratios), 3)}
        micro = 1e6 / operations if operations else 0
        if micro:
            result[name]["us"] = spread([t * micro for t in times])
        if micro and name != base:
            result[name]["us_more"] = spread([(t - b) * micro for b, t in zip(seconds[base], times)])
    return result


# --- output ---

COLOURS = {"native": "#999999", "by hand": "#4a9a5b", "bindfs": "#d08a3c", "saveseal": "#2b6cb0", "preload": "#805ad5", "header": "#63a4dd",
           "libvirt": "#2f855a", "libvirt+header": "#68b984", "sha256sum": "#999999", "saveseal verify": "#2b6cb0",
           "saveseal verify --quick": "#63a4de",
           "fsverity digest": "#d08a3c"}


def more(result):
    return ", %+.2f µs" % result["us_more"]["median"] if "us_more" in result else ""


def svg(rows):
    """Bars: the ratio to native, more is faster."""
    height, bar, scale, left = 0, 14, 300.0, 270
    parts = []
    for row in rows:
        parts.append('<text x="%d" y="%d" text-anchor="end">%s</text>' % (left - 10, height + 26, row["name"]))
        for name, result in row["results"].items():
            if name in ("native", "sha256sum"):
                continue
            width = min(result["ratio"], 2.2) * scale
            parts.append('<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>'
                         % (left, height + 14, width, bar - 2, COLOURS.get(name, "#000")))
            parts.append('<text x="%.1f" y="%d">%s %.2f%s</text>'
                         % (left + width + 5, height + 25, name, result["ratio"], more(result)))
            height += bar
        height += 16
    line = '<line x1="%d" y1="0" x2="%d" y2="%d" stroke="#444" stroke-dasharray="3 3"/>' % (left + scale, left + scale, height)
    return ('<svg xmlns="http://www.w3.org/2000/svg" width="1080" height="%d" font-family="sans-serif" font-size="11">'
            '<rect width="100%%" height="100%%" fill="white"/>%s%s</svg>\n' % (height + 20, line, "".join(parts)))


def machine():
    with open("/proc/cpuinfo") as file:
        model = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    return {"date": time.strftime("%Y-%m-%d"), "kernel": platform.release(), "processor": model[0] if model else "?",
            "processors": len(model), "rounds": ROUNDS, "size_mib": SIZE}


def wanted_rows(wanted):
    """Those of both tables: name, store, contenders, measure, operations, rounds."""
    rows = [(*row, 0, ROUNDS) for row in ROWS]
    if os.path.exists(LIBRARY):
        rows += [(*row, ROUNDS * (OPERATION_ROUNDS if row[4] else PRELOAD_ROUNDS)) for row in PRELOAD_ROWS]
    return [row for row in rows if not wanted or any(word in row[0] for word in wanted)]


def main():
    out, wanted = sys.argv[1], sys.argv[2:]
    if os.geteuid() != 0:
        raise SystemExit("bench: run it as root: it mounts")
    rows, stores = [], {}
    try:
        for name, store, contenders, measure, operations, rounds in wanted_rows(wanted):
            if not shutil.which("bindfs"):
                contenders = [c for c in contenders if c != "bindfs"]
            if store not in stores:
                stores[store] = Store(store)
            seconds = measure_row(stores[store], contenders, measure, rounds)
            add(rows, name, summary(seconds, "native", operations))
        if not wanted or "verify" in wanted:
            stores.setdefault("tmpfs", None)
            stores["tmpfs"] = stores["tmpfs"] or Store("tmpfs")
            add(rows, "verify against sha256sum", summary(verify_rows(stores["tmpfs"]), "sha256sum"))
            add(rows, "100,000 images of 2 KiB", summary(many_rows(stores["tmpfs"]), "sha256sum"))
        if not wanted or "virsh" in wanted:
            saves, restores = virsh_rows()
            add(rows, "virsh save, 1 GiB, disk", summary(saves, "native"))
            add(rows, "virsh restore, 1 GiB, disk", summary(restores, "native"))
    finally:
        for store in stores.values():
            if store:
                store.close()
    os.makedirs(out, exist_ok=True)
    with open(os.path.join(out, "bench.json"), "w") as file:
        json.dump({"machine": machine(), "rows": rows}, file, indent=1)
        file.write("\n")
    with open(os.path.join(out, "bench.svg"), "w", encoding="utf-8") as file:
        file.write(svg(rows))


def add(rows, name, results):
    rows.append({"name": name, "results": results})
    print("%-48s" % name, "  ".join(told(n, r) for n, r in results.items()), flush=True)


def told(name, result):
    text = "%s %.3f (%.3f-%.3f)" % (name, result["ratio"], result["min"], result["max"])
    if "us" not in result:
        return text + " %.3fs" % statistics.median(result["seconds"])
    text += " %.2fus" % result["us"]["median"]
    return text + " %+.2f (%+.2f to %+.2f)" % tuple(result["us_more"].values()) if "us_more" in result else text


if __name__ == "__main__":
    main()
