"""instants WORK COUNT RULE: worker, keeper, writers or all of them are killed at random instants of a mixed load.

Each version of a file proves itself: its number and a checksum are in it. Writers note when they begin an operation (S),
make the call that may publish it (C), and have its success (A) in a file of their own, readers what they saw. After some
kills the writers pause, the directory is mounted anew, and everything that was seen must be explained by what was done.
"""
import ctypes
import errno
import fcntl
import hashlib
import mmap
import os
import random
import re
import signal
import struct
import subprocess
import sys
import time
import traceback

libc = ctypes.CDLL(None, use_errno=True)
WRITERS, READERS = 3, 2
CHUNK = 16384
INFINITY = float("inf")
PATIENCE = 30  # seconds after which something hangs
LATE = 2.0  # seconds before its keeper's death in which a close() may not have become a rename yet
GONE = (errno.ENOTCONN, errno.ECONNABORTED)
LEFT_WHOLE = "closed-unpublished"
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
        name, begun = self.random.choice(self.suite.names), now()
        try:
            os.stat(self.path(name))
        except FileNotFoundError:
            self.note("R", begun, now(), name, None)

    def step(self):
        for _ in range(20):
            self.probe()
        name = self.random.choice(self.suite.names)
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


# --- what was done, and whether it explains what was seen ---


class Operation:
    def __init__(self, name, value, begun, commit=INFINITY, acked=INFINITY, end=INFINITY):
        self.name, self.value, self.begun, self.commit, self.acked, self.end = name, value, begun, commit, acked, end
        self.lost = False  # a save that a killed keeper left whole but unpublished


def word(text):
    return None if text == "None" else int(text)


class History:
    """Since the last check. state: name -> version that was public then."""

    def __init__(self, state):
        self.operations = [Operation(name, value, 0, 0, 0, 0) for name, value in state.items()]
        self.reads, self.errors, self.violations = [], [], []
        self.bare = 0  # times the bare directory below the mount was seen

    def load(self, path, ended):
        """ended: when its process had ended, or now."""
        by_number = {}
        with open(path, encoding="utf-8") as file:
            for line in file:
                kind, *rest = line.rstrip("\n").split(" ")
                if kind == "S":
                    operation = Operation(rest[2], word(rest[3]), float(rest[0]), end=ended)
                    by_number.setdefault(rest[1], []).append(operation)
                    self.operations.append(operation)
                elif kind == "C":
                    for operation in by_number[rest[1]]:
                        operation.commit = float(rest[0])
                elif kind == "A":
                    for operation in by_number[rest[1]]:
                        operation.acked = operation.end = float(rest[0])
                elif kind == "N":
                    dropped = [operation for operation in by_number[rest[1]] if operation.name == rest[2]]
                    by_number[rest[1]] = [one for one in by_number[rest[1]] if one not in dropped]
                    self.operations = [one for one in self.operations if one not in dropped]
                elif kind == "R":
                    self.reads.append((float(rest[0]), float(rest[1]), rest[2], rest[3]))
                elif kind == "X":
                    self.errors.append((float(rest[0]), rest[1], " ".join(rest[2:])))
                elif kind == "G":
                    self.bare += 1
                elif kind == "V":
                    self.violations.append(rest[1])

    def wrong(self, name, value, since, until):
        """Why value can not have been public under name at any time from since to until, or None."""
        mine = [operation for operation in self.operations if operation.name == name]
        fits = [operation for operation in mine if operation.value == value]
        if not fits:
            return "nobody wrote that"
        fits = [operation for operation in fits if operation.commit < until]
        if not fits:
            return "P3: it is not closed"
        newer = max((one.commit for one in mine if one.acked < since and not one.lost), default=0)
        if all(operation.end < newer for operation in fits):
            return "P2, P4: something newer was there"
        return None


# --- the suite ---


class Suite:
    def __init__(self, work, rule):
        self.rule = rule  # of -o commit
        self.nap = 0.06 if rule == "settle" else 0  # so long its writer has to live on for a save to be one
        self.work, self.mount, self.back, self.logs = work, f"{work}/mnt", f"{work}/back", f"{work}/logs"
        self.shared = Shared()
        self.members = {}  # pid -> slot
        self.ended = {}  # pid -> when
        self.daemon = None
        self.bare = os.stat(self.mount).st_dev
        self.names = ["shared"] + [f"w{slot}.{kind}" for slot in range(WRITERS) for kind in ("a", "b", "tmp", "save")]
        self.state = {name: None for name in self.names}
        self.kept = {}
        self.violations, self.seed = 0, 1
        self.drafts = []  # at the last check: version, record
        self.figures = {"worker": 0, "keeper": 0, "writer": 0, "all": 0, "checks": 0, "reads": 0, "operations": 0,
                        "drafts": 0, "left whole": 0, "salvaged": 0, "bare directory seen": 0}
        os.mkdir(self.logs)

    def violation(self, text):
        self.violations += 1
        print(f"# violation: {text}; drafts: {self.drafts}", flush=True)

    # the mount

    def start(self):
        for _ in range(5):
            if self.try_to_start():
                return
            self.violation(f"savesealfs refused to start, status {self.daemon.returncode}")
        raise RuntimeError("the mount does not come up")

    def try_to_start(self):
        prefix = os.environ.get("SAVESEALFS_RUN", "").split()
        options = os.environ.get("MOUNT_OPTIONS", "").split()
        log = os.open(f"{self.work}/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.daemon = subprocess.Popen([*prefix, os.environ["SAVESEALFS"], "-f", "-o", ",".join([f"commit={self.rule}", *options]), self.back, self.mount], stderr=log)
        os.close(log)
        with open(f"{self.work}/daemon", "w", encoding="ascii") as file:
            file.write(str(self.daemon.pid))
        deadline = now() + PATIENCE
        while outcome_of_open(f"{self.mount}/plain") != "opened":
            if self.daemon.poll() is not None:
                return False
            if now() > deadline:
                raise RuntimeError("the mount does not answer")
            time.sleep(0.002)
        return True

    def stop(self):
        deadline = now() + PATIENCE
        while subprocess.run(["umount", self.mount], stderr=subprocess.DEVNULL, check=False).returncode != 0:
            if now() > deadline:
                raise RuntimeError("the mount can not be unmounted")
            time.sleep(0.005)
        if self.daemon.wait(PATIENCE) != 0:
            self.violation(f"the keeper ended with status {self.daemon.returncode}")

    def worker(self):
        try:
            with open(f"/proc/{self.daemon.pid}/task/{self.daemon.pid}/children", encoding="ascii") as file:
                return int(file.read().split()[0])
        except (OSError, IndexError):
            return None

    def kill_worker(self):
        worker = self.worker()
        if worker:
            try:
                os.kill(worker, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def kill_keeper(self):
        os.kill(self.daemon.pid, signal.SIGKILL)
        killed = now()
        self.daemon.wait(PATIENCE)
        return killed

    # the load

    def add_member(self, kind, slot):
        self.seed += 1
        pid = os.fork()
        if pid == 0:
            libc.prctl(1, signal.SIGKILL)  # ends with us
            try:
                kind(self, slot, self.seed).loop()
            except BaseException:  # pylint: disable=broad-except
                traceback.print_exc()
            os._exit(1)
        self.members[pid] = slot

    def add_load(self):
        for slot in range(WRITERS + READERS):
            if slot not in self.members.values():
                self.add_member(Writer if slot < WRITERS else Reader, slot)

    def kill_writers(self, count):
        pids = [pid for pid, slot in self.members.items() if slot < WRITERS]
        for pid in random.sample(pids, min(count, len(pids))):
            os.kill(pid, signal.SIGKILL)
            deadline = now() + PATIENCE
            while os.waitpid(pid, os.WNOHANG)[0] == 0:
                if now() > deadline:
                    raise RuntimeError("a killed writer does not end")
                time.sleep(0.0005)
            self.ended[pid] = now()
            del self.members[pid]

    def pause(self):
        self.shared.pause(1)
        deadline = now() + PATIENCE
        while not all(self.shared.idle(slot) for slot in self.members.values()):
            for pid in self.members:
                if os.waitpid(pid, os.WNOHANG)[0]:
                    raise RuntimeError("a process of the load ended by itself")
            if now() > deadline:
                raise RuntimeError("the load hangs")
            time.sleep(0.001)

    def resume(self):
        for slot in self.members.values():
            self.shared.set_idle(slot, 0)
        self.shared.pause(0)

    # checks

    def listed(self):
        """What saveseal status says about drafts: name, target, state, reason."""
        said = subprocess.run([os.environ["SAVESEAL"], "status", "--json", self.back], stdout=subprocess.PIPE,
                              check=False).stdout.decode()
        found = []
        for entry in re.findall(r'\{[^{}]*"kind": ?"draft"[^{}]*\}', said):
            found.append({key: value for key, value in re.findall(r'"(\w+)": ?"([^"]*)"', entry)})
        return found

    def check_drafts(self, history, keeper_killed, writers_killed):
        hidden = [name for name in os.listdir(self.back) if name.startswith(".saveseal.")]
        listed = self.listed()
        self.figures["drafts"] += len(hidden)
        if len(listed) != len(hidden):
            self.violation(f"P6: {len(hidden)} drafts, {len(listed)} listed")
        reasons = {"writer-killed"} if writers_killed else set()
        if keeper_killed:
            reasons |= {"daemon-died", LEFT_WHOLE, "format-incomplete"}
        if writers_killed:
            reasons |= {"format-incomplete", "writer-vanished"}
        for draft in listed:
            if draft.get("state") != "interrupted" or draft.get("reason") not in reasons:
                self.violation(f"P3: draft {draft}, expected {reasons}")
        self.drafts = []
        for name in hidden:
            with open(f"{self.back}/{name}", "rb") as file:
                version = version_of(file.read())
            reason = os.getxattr(f"{self.back}/{name}", "user.saveseal.draft").decode()
            self.drafts.append((version, re.sub(r" (pid|start|boot|host|opened|writer)=\S*", "", reason)))
            settles = self.rule == "settle" and "reason=writer-" in reason
            if f"reason={LEFT_WHOLE}" not in reason and not settles:
                continue
            self.figures["left whole"] += 1
            for operation in history.operations:
                if operation.value == version and (settles or operation.acked > (keeper_killed or INFINITY) - LATE):
                    operation.lost = True
        return hidden

    def salvage(self, hidden):
        for name in hidden[:2]:
            destination = f"{self.work}/salvaged"
            if subprocess.run([os.environ["SAVESEAL"], "salvage", f"{self.back}/{name}", destination],
                              stdout=subprocess.DEVNULL, check=False).returncode:
                self.violation(f"{name} can not be salvaged")
            else:
                self.figures["salvaged"] += 1
                os.unlink(destination)
        rest = [f"{self.back}/{name}" for name in hidden[2:]]
        if rest:
            subprocess.run([os.environ["SAVESEAL"], "discard", "--force", *rest], stdout=subprocess.DEVNULL, check=True)

    def check_public(self, history):
        there = sorted(name for name in os.listdir(self.mount) if name not in ("plain", "damaged"))
        for name in set(there) - set(self.names):
            self.violation(f"{name} is nobody's")
        for name in self.names:
            value, at = read_version(f"{self.mount}/{name}"), now()
            if isinstance(value, str):
                self.violation(f"P1: {name}: {value}")
                value = None
            elif why := history.wrong(name, value, at, at):
                self.violation(f"{name} is version {value}: {why}: {self.explain(history, name)}")
            self.state[name] = value
        if there:
            said = subprocess.run([os.environ["SAVESEAL"], "verify", *(f"{self.mount}/{name}" for name in there)],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
            if said.returncode:
                self.violation("P5: " + "; ".join(line for line in said.stdout.decode().splitlines()
                                                  if ": intact" not in line))
        if outcome_of_open(f"{self.mount}/damaged") != "EIO":
            self.violation("P5: a damaged image can be opened")
        if self.kept != self.fingerprint():
            self.violation("P7: a file that was there before has changed")

    def explain(self, history, name, since=None, until=None):
        base = min((one.begun for one in history.operations if one.begun), default=0)
        mine = [one for one in history.operations
                if one.name == name and one.begun and (until is None or one.begun < until + 0.01)]
        told = [f"{one.value}: {one.begun - base:.4f} {one.commit - base:.4f} {one.acked - base:.4f} "
                f"{one.end - base:.4f}{' lost' if one.lost else ''}" for one in sorted(mine, key=lambda one: one.begun)]
        return (f"seen {since - base:.4f} to {until - base:.4f}, " if since else "") + "; ".join(told[-6:])

    def check_seen(self, history, keeper_killed):
        for since, until, name, value in history.reads:
            self.figures["reads"] += 1
            if value.startswith("?"):
                self.violation(f"P1: a reader saw {name}: {value[1:]}")
            elif why := history.wrong(name, word(value), since, until):
                self.violation(f"a reader saw {name} as version {value}: {why}: {self.explain(history, name, since, until)}")
        for _, error, where in history.errors:
            lost = any(operation.lost and f"/{operation.name}'" in where for operation in history.operations)
            if not keeper_killed or error not in ("ENOTCONN", "ECONNABORTED") and not (error == "ENOENT" and lost):
                self.violation(f"error {error}: {where}")
        for text in history.violations:
            self.violation(text.replace("_", " "))

    def check(self, keeper_killed, writers_killed):
        """Pauses the load, mounts anew and looks at everything. keeper_killed: when, or None."""
        self.figures["checks"] += 1
        if not keeper_killed:
            self.pause()
            self.stop()
        else:
            self.shared.pause(1)
        self.start()
        self.pause()
        history = History(self.state)
        for log in os.listdir(self.logs):
            history.load(f"{self.logs}/{log}", self.ended.get(int(log), now()))
            if int(log) in self.ended:
                os.unlink(f"{self.logs}/{log}")
            else:
                os.truncate(f"{self.logs}/{log}", 0)
        self.ended = {}
        self.figures["bare directory seen"] += history.bare
        self.figures["operations"] += len(history.operations) - len(self.state)
        hidden = self.check_drafts(history, keeper_killed, writers_killed)
        self.check_seen(history, keeper_killed)
        self.check_public(history)
        self.salvage(hidden)
        self.add_load()
        self.resume()

    # all of it

    def fingerprint(self):
        found = {}
        for name in ("plain", "damaged"):
            st = os.stat(f"{self.back}/{name}")
            with open(f"{self.back}/{name}", "rb") as file:
                found[name] = (st.st_ino, st.st_size, st.st_mtime_ns, st.st_mode, file.read(), os.listxattr(file.fileno()))
        return found

    def prepare(self):
        with open(f"{self.back}/plain", "wb") as file:
            file.write(b"was there before")
        self.start()
        with open(f"{self.mount}/damaged", "wb") as file:
            file.write(b"whole" * 1000)
        self.stop()
        with open(f"{self.back}/damaged", "r+b") as file:
            file.write(b"damaged")
        self.kept = self.fingerprint()
        self.start()

    def instant(self, what):
        """Kills at a random instant. Returns when the keeper was killed, None."""
        time.sleep(random.random() * 0.05)
        self.figures[what] += 1
        if what == "worker":
            self.kill_worker()
        elif what == "writer":
            self.kill_writers(1)
        elif what == "keeper":
            return self.kill_keeper()
        else:
            self.kill_writers(WRITERS)
            self.kill_worker()
            return self.kill_keeper()
        return None

    def tell_where(self):
        """Only what does not wait for anybody: where everybody's threads are in the kernel, who has the mount."""
        print(f"#   the keeper is {self.daemon.pid}")
        for pid in [name for name in os.listdir("/proc") if name.isdigit()]:
            try:
                with open(f"/proc/{pid}/comm", encoding="ascii") as file:
                    name = file.read().strip()
                with open(f"/proc/{pid}/mountinfo", encoding="utf-8") as file:
                    has_mount = f" {self.mount} " in file.read()
                if has_mount and os.readlink(f"/proc/{pid}/ns/mnt") != os.readlink("/proc/self/ns/mnt"):
                    print(f"#   {name} {pid} has the mount in a namespace of its own")
                if name != "savesealfs" and int(pid) not in self.members:
                    continue
                for tid in os.listdir(f"/proc/{pid}/task"):
                    where = []
                    for what in "wchan", "syscall":
                        with open(f"/proc/{pid}/task/{tid}/{what}", encoding="ascii") as file:
                            where.append(file.read().split(" ")[0].strip())
                    print(f"#   {name} {pid}/{tid} is in {where}", flush=True)
            except OSError:
                continue

    def run(self, count):
        self.prepare()
        self.add_load()
        done = 0
        while done < count:
            what = random.choice(("worker", "writer", "mixed") + ("keeper",) * 8 + ("all",) * 3)
            batch = min(count - done, {"worker": 8, "writer": 5, "mixed": 8}.get(what, 1))
            killed, writers = None, False
            for _ in range(batch):
                this = random.choice(("worker", "worker", "writer")) if what == "mixed" else what
                killed = self.instant(this)
                writers |= this in ("writer", "all")
                if this == "writer" and what != "writer" or random.random() < 0.3:
                    self.add_load() if killed is None else None
            done += batch
            self.check(killed, writers)
        for pid in self.members:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self.stop()


def main(work, count, rule):
    seed = int(os.environ.get("SEED", "1"))
    random.seed(seed)
    suite = Suite(work, rule)
    status = 0
    try:
        suite.run(int(count))
    except Exception as error:  # pylint: disable=broad-except
        suite.tell_where()
        traceback.print_exc(file=sys.stdout)
        print(f"not ok - {error}", flush=True)
        status = 1
    instants = sum(suite.figures[what] for what in ("worker", "keeper", "writer", "all"))
    print("# " + ", ".join(f"{value} {what}" for what, value in suite.figures.items()))
    print(f"{'not ok' if status or suite.violations else 'ok'} - commit={rule}, {instants} instants: {suite.violations} violations", flush=True)
    os._exit(1 if status or suite.violations else 0)


main(*sys.argv[1:])
