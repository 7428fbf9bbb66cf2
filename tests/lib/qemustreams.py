#!/usr/bin/env python3
"""qemustreams.py SAVESEAL WORK: has a real QEMU save machines as plain streams, asks saveseal about them, whole and
damaged, and has QEMU load them. What saveseal calls good must be good for QEMU, too."""
import os
import subprocess
import sys
import time

from saveimage_parts import Stream

saveseal, work = sys.argv[1:3]
LIMIT = 60  # seconds that anything may take
MACHINES = {
    "pc": ["-machine", "pc", "-m", "32"],
    "q35": ["-machine", "q35", "-m", "40", "-smp", "2", "-vga", "std", "-device", "virtio-rng-pci"],
}
wrong = []


class Machine:
    """A QEMU with its monitor on a pipe."""

    def __init__(self, *args):
        self.process = subprocess.Popen(["qemu-system-x86_64", "-accel", "tcg", "-nodefaults", "-display", "none", "-S",
                                         "-monitor", "stdio", *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)
        self.said = b""

    def ask(self, command):
        """The answer, or None when it has ended."""
        try:
            self.process.stdin.write(command.encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return None
        begin = len(self.said)
        while self.said.count(b"(qemu) ", begin) < 1:
            more = os.read(self.process.stdout.fileno(), 65536)
            if not more:
                return None
            self.said += more
        return self.said[begin:].decode(errors="replace")

    def ask_until(self, command, done):
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            answer = self.ask(command)
            if answer is None or done(answer):
                return answer
            time.sleep(0.02)
        sys.exit(f"{command}: no answer that would do: {self.said[-500:]}")

    def end(self):
        self.process.kill()
        self.process.communicate()


def save(name, args):
    path = os.path.join(work, name)
    machine = Machine(*args)
    machine.ask(f"migrate -d \"exec:cat >{path}\"")
    machine.ask_until("info migrate", lambda answer: "status: completed" in answer or "status: failed" in answer)
    machine.end()
    with open(path, "rb") as file:
        data = file.read()
    os.unlink(path)
    return data


def loads(args, path):
    machine = Machine(*args, "-incoming", f"exec:cat {path}")
    answer = machine.ask_until("info status", lambda text: "VM status" in text and "inmigrate" not in text)
    machine.end()
    return answer is not None


def ask(name, data, want, args=None):
    """want: the exit status of saveseal. With args QEMU is asked, too."""
    path = os.path.join(work, "stream")
    with open(path, "wb") as file:
        file.write(data)
    run = subprocess.run([saveseal, "verify", "--deep", path], capture_output=True, timeout=LIMIT)
    if run.returncode != want:
        wrong.append(f"{name}: exit {run.returncode}, not {want}: {(run.stdout + run.stderr).decode(errors='replace')[:300]}")
    if args and not loads(args, path) and run.returncode == 0:
        wrong.append(f"{name}: good, but QEMU does not load it")
    os.unlink(path)


for name, args in MACHINES.items():
    data = save(name, args)
    parts = Stream(data)
    page = parts.full_page(5)
    ask(f"{name}: whole", data, 0, args)
    ask(f"{name}: a hole in a page's head", data[:page] + bytes(8) + data[page + 8:], 1, args if name == "pc" else None)
    ask(f"{name}: cut in the devices", data[:parts.description - 100], 1, args if name == "pc" else None)
    ask(f"{name}: cut before the description", data[:parts.description + 1], 4)
    ask(f"{name}: cut by a byte", data[:-1], 1)
print("\n".join("# " + line for line in wrong))
sys.exit(1 if wrong else 0)
