"""What is checked while the load of instants rests: whether what was done explains what was seen, what is public, and what was kept."""
import os
import re
import subprocess

from instants_load import NAMES, now, outcome_of_open, read_version, version_of

INFINITY = float("inf")
LATE = 2.0  # seconds before its keeper's death in which a close() may not have become a rename yet
LEFT_WHOLE = "closed-unpublished"

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


# --- the checks ---


class Checks:
    """All that was found wrong, and what the next check has to know of the last."""

    def __init__(self, work, rule):
        self.rule = rule  # of -o commit
        self.work, self.mount, self.back = work, f"{work}/mnt", f"{work}/back"
        self.state = {name: None for name in NAMES}
        self.kept = {}
        self.violations = 0
        self.drafts = []  # at the last check: version, record
        self.figures = {"worker": 0, "keeper": 0, "writer": 0, "all": 0, "checks": 0, "reads": 0, "operations": 0,
                        "drafts": 0, "left whole": 0, "salvaged": 0, "bare directory seen": 0}

    def violation(self, text):
        self.violations += 1
        print(f"# violation: {text}; drafts: {self.drafts}", flush=True)

    def fingerprint(self):
        found = {}
        for name in ("plain", "damaged"):
            st = os.stat(f"{self.back}/{name}")
            with open(f"{self.back}/{name}", "rb") as file:
                found[name] = (st.st_ino, st.st_size, st.st_mtime_ns, st.st_mode, file.read(), os.listxattr(file.fileno()))
        return found

    def keep(self):
        """From now on the files that were there before may not change."""
        self.kept = self.fingerprint()

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
            self.drafts.append((version, re.sub(r" (pid|start|boot|host|opened|ended|writer)=\S*", "", reason)))
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
        for name in set(there) - set(NAMES):
            self.violation(f"{name} is nobody's")
        for name in NAMES:
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

    def look(self, history, keeper_killed, writers_killed):
        """At everything; the load rests, the mount is new. keeper_killed: when, or None."""
        self.figures["bare directory seen"] += history.bare
        self.figures["operations"] += len(history.operations) - len(self.state)
        hidden = self.check_drafts(history, keeper_killed, writers_killed)
        self.check_seen(history, keeper_killed)
        self.check_public(history)
        self.salvage(hidden)
