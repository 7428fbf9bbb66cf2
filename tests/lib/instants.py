"""instants WORK COUNT RULE: worker, keeper, writers or all of them are killed at random instants of a mixed load.

Each version of a file proves itself: its number and a checksum are in it. Writers note when they begin an operation (S),
make the call that may publish it (C), and have its success (A) in a file of their own, readers what they saw. After some
kills the writers pause, the directory is mounted anew, and everything that was seen must be explained by what was done.
"""
import ctypes
import os
import random
import signal
import subprocess
import sys
import time
import traceback

from instants_check import Checks, History
from instants_load import READERS, WRITERS, Reader, Shared, Writer, now, outcome_of_open

libc = ctypes.CDLL(None, use_errno=True)
PATIENCE = 30  # seconds after which something hangs


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
        self.seed = 1
        self.checks = Checks(work, rule)
        os.mkdir(self.logs)

    # the mount

    def start(self):
        for _ in range(5):
            if self.try_to_start():
                return
            self.checks.violation(f"savesealfs refused to start, status {self.daemon.returncode}")
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
            self.checks.violation(f"the keeper ended with status {self.daemon.returncode}")

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

    # all of it

    def check(self, keeper_killed, writers_killed):
        """Pauses the load, mounts anew and looks at everything. keeper_killed: when, or None."""
        self.checks.figures["checks"] += 1
        if not keeper_killed:
            self.pause()
            self.stop()
        else:
            self.shared.pause(1)
        self.start()
        self.pause()
        history = History(self.checks.state)
        for log in os.listdir(self.logs):
            history.load(f"{self.logs}/{log}", self.ended.get(int(log), now()))
            if int(log) in self.ended:
                os.unlink(f"{self.logs}/{log}")
            else:
                os.truncate(f"{self.logs}/{log}", 0)
        self.ended = {}
        self.checks.look(history, keeper_killed, writers_killed)
        self.add_load()
        self.resume()

    def prepare(self):
        with open(f"{self.back}/plain", "wb") as file:
            file.write(b"was there before")
        self.start()
        with open(f"{self.mount}/damaged", "wb") as file:
            file.write(b"whole" * 1000)
        self.stop()
        with open(f"{self.back}/damaged", "r+b") as file:
            file.write(b"damaged")
        self.checks.keep()
        self.start()

    def instant(self, what):
        """Kills at a random instant. Returns when the keeper was killed, None."""
        time.sleep(random.random() * 0.05)
        self.checks.figures[what] += 1
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
    instants = sum(suite.checks.figures[what] for what in ("worker", "keeper", "writer", "all"))
    print("# " + ", ".join(f"{value} {what}" for what, value in suite.checks.figures.items()))
    print(f"{'not ok' if status or suite.checks.violations else 'ok'} - commit={rule}, {instants} instants: {suite.checks.violations} violations", flush=True)
    os._exit(1 if status or suite.checks.violations else 0)


main(*sys.argv[1:])
