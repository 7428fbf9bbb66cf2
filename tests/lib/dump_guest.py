#!/usr/bin/env python3
"""dump_guest.py FOLDER: starts a small machine with QEMU, and has its memory dumped as FOLDER/elf and FOLDER/kdump-zlib."""
import json
import os
import socket
import subprocess
import sys
import time

folder = sys.argv[1]
monitor = os.path.join(folder, "monitor")
machine = subprocess.Popen(["qemu-system-x86_64", "-machine", "pc,accel=tcg", "-m", "16", "-nodefaults", "-display", "none", "-S",
                            "-qmp", f"unix:{monitor},server=on,wait=off"])
try:
    for _ in range(1200):
        if os.path.exists(monitor) or machine.poll() is not None:
            break
        time.sleep(0.05)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(monitor)
        stream = connection.makefile("rw")

        def command(name, **arguments):
            stream.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
            stream.flush()
            while True:
                answer = json.loads(stream.readline())
                if "error" in answer:
                    sys.exit(f"{name}: {answer['error']}")
                if "return" in answer:
                    return

        stream.readline()  # its greeting
        command("qmp_capabilities")
        for kind in "elf", "kdump-zlib":
            command("dump-guest-memory", paging=False, protocol=f"file:{folder}/{kind}", format=kind)
finally:
    machine.kill()
    machine.wait()
