#!/bin/bash
# Nobody sees a part or a mix, everybody sees a save as soon as close() returned: thousands of rounds with others looking on, an
# outsider who tries everything, and a crowd on a few names.
# shellcheck disable=SC2119,SC2317
# shellcheck source=tests/lib/mount.sh
. "$(dirname "$0")/lib/mount.sh"

race=$TEST_BIN_DIR/race

case_cleanup() {
    if mountpoint -q "$back"; then umount "$back"; fi
}

# race_says TEXT MODE NAME ROUNDS: all of its counts must be 0. Leaves what it printed in $said.
race_says() {
    local text=$1
    shift
    said=$("$race" "$1" "$mnt/$2" "$3" "${runner[@]}" 2>"$work/complaints")
    local status=$?
    echo "# ${said//$'\n'/; }"
    [ $status -eq 0 ] || head -n 20 "$work/complaints"
    check "$text" test $status -eq 0
}

sealed_only() { # NAME
    equal "$1: one image, sealed, no draft" "$(entry "$mnt" "$1")" "image sealed intact"
}

# On a store that is quick: it is between two system calls of one open that the name comes and goes.
fleeting() {
    local reason=${differs["a crowd"]-writer-killed writer killed by signal 9} deaths times=200
    [ "${BACKEND:-mount}" = mount ] || times=6000 # where a killed writer costs less
    stop_daemon
    mount -t tmpfs none "$back"
    start_daemon -o commit=close
    race_says "a name that comes and goes" fleeting fleeting "$(rounds "$times")"
    deaths=$(sed -n 's/.* deaths //p' <<<"$said")
    check "a name that comes and goes: changes were begun" test "${deaths:-0}" -gt 0
    equal "a name that comes and goes: and all are drafts" "$(entries "$mnt" | grep -cE "^fleeting draft interrupted $reason")" "$deaths"
    stop_daemon
    umount "$back"
    start_daemon
}

crowd() {
    local deaths drafts reason=${differs["a crowd"]-writer-killed writer killed by signal 9}
    race_says "a crowd on 8 names: nothing mixed, no unexpected error" stress crowd $(($(rounds 8) < 3 ? 3 : $(rounds 8)))
    deaths=$(sed -n 's/.* deaths //p' <<<"$said")
    check "all saves are judged" wait_until 10 none_open crowd
    check "there were deaths" test "$deaths" -gt 0
    entries "$mnt" >"$work/entries"
    equal "each writer that died left its draft" "$(grep -c " draft interrupted $reason" "$work/entries")" "$deaths"
    drafts=$(find "$back" -name '.saveseal.*' | wc -l)
    equal "every draft is listed" "$(grep -c ' draft ' "$work/entries")" "$drafts"
    equal "all with a good reason" "$(grep ' draft ' "$work/entries" | grep -cvE " draft interrupted ($reason|name-taken)")" 0
    check "every image is intact" all_intact
    check "every image is whole" all_whole
}

# Two threads that open one name at a time, a new one or that of an image, write to one file.
one_name() { # ROUNDS
    equal "two threads open one name at a time: what both write is in it" "$(under python3 -c 'import os, sys, threading
def write(path, text, at):
    start.wait()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    os.pwrite(fd, text[at:at + 1], at)
    os.close(fd)
names, bad = int(sys.argv[2]), 0
for i in range(3 * names):
    path, text, start = f"{sys.argv[1]}/one{i % names}", b"abcdef"[i // names * 2:][:2], threading.Barrier(2)
    both = [threading.Thread(target=write, args=[path, text, at]) for at in (0, 1)]
    [one.start() for one in both]
    [one.join() for one in both]
    with open(path, "rb") as file: bad += file.read() != text
print(bad)' "$mnt" "$1" 2>&1)" 0
    equal "and nothing is left" "$(entries "$mnt" | grep -c '^one.* draft ')" 0
}

# The same when one of them is held up after it has found no save of the name, until that of the other is published.
one_is_late() {
    stop_daemon
    start_held_up /dev/null pidfd_open 20000:when=2+3 -o commit=close # not always: both would be
    one_name 20
    stop_daemon
    start_held_up /dev/null pidfd_open 100000 -o commit=close
    equal "a draft is renamed to a name that is just being opened: what both write is in it" "$(under python3 -c 'import os, sys, threading, time
def edit(path):
    start.wait()
    fd = os.open(path, os.O_WRONLY)
    os.pwrite(fd, b"x", 0)
    os.close(fd)
def replace(path):
    fd = os.open(path + ".new", os.O_WRONLY | os.O_CREAT)
    os.write(fd, b"new")
    start.wait()
    time.sleep(0.005) # the other one has looked
    os.rename(path + ".new", path)
    time.sleep(0.15) # and has opened it
    os.close(fd)
for i in range(10):
    path, start = f"{sys.argv[1]}/over{i}", threading.Barrier(2)
    with open(path, "w") as file: file.write("old")
    both = [threading.Thread(target=one, args=[path]) for one in (edit, replace)]
    [one.start() for one in both]
    [one.join() for one in both]
    with open(path) as file: print(file.read())' "$mnt" 2>&1 | sort -u)" xew
    equal "and nothing is left" "$(entries "$mnt" | grep -c '^over.* draft ')" 0
    stop_daemon
    start_daemon -o commit=close
}

# Two strangers who changed one image and close it at the same moment: one gets the name, and the other is told.
one_wins() { # ROUNDS
    equal "two strangers close what both have changed: one gets the name, the other EEXIST" "$(under python3 -c 'import errno, os, sys
def change(path, ready, go, say):
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    os.write(fd, b"x")
    os.write(ready, b".")
    os.read(go, 1)
    try: os.close(fd)
    except OSError as error: os.write(say, errno.errorcode[error.errno].encode())
    else: os.write(say, b"0 ")
for i in range(int(sys.argv[2])):
    path = f"{sys.argv[1]}/win{i}"
    if os.fork() == 0: # no family of the others
        with open(path, "w") as file: file.write("old")
        os._exit(0)
    os.wait()
    (ready, tell), (go, start), (hear, say) = os.pipe(), os.pipe(), os.pipe()
    for child in range(2):
        if os.fork() == 0:
            os.close(start)
            change(path, tell, go, say)
            os._exit(0)
    for child in range(2): os.read(ready, 1)
    for fd in start, tell, go, say: os.close(fd)
    for child in range(2): os.wait()
    said = b""
    while more := os.read(hear, 100): said += more
    for fd in ready, hear: os.close(fd)
    print(" ".join(sorted(said.decode().replace("0 ", " 0 ").split())), open(path).read())' "$mnt" "$1" 2>&1 | sort | uniq -c)" \
        "$(printf '%7d 0 EEXIST oldx' "$1")"
    equal "and is kept" "$(entries "$mnt" | grep -c '^win.* draft interrupted name-taken')" "$1"
    rm -f "$back"/.saveseal.* "$mnt"/win*
}

# Threads are killed by exec wherever they are, also inside open(): nothing of that spoils what is closed well.
exec_race() {
    local name racers=
    for name in 1 2 3 4; do
        under timeout 120 "$TEST_BIN_DIR/execrace" "$mnt/exec$name" "$(rounds 100)" &
        racers+=" $!"
    done
    # shellcheck disable=SC2086  # several
    check "threads that open while one calls exec: they end" wait $racers
    check "and all their saves are judged" wait_until 10 none_open exec
    forget_unmade
    equal "and none is spoilt" \
        "$(entries "$mnt" | grep ' draft ' | grep -vE "^exec[0-9.]* draft interrupted ${differs[exec]-of no kind}")" ""
    find "$mnt" -name 'exec*' -exec "$SAVESEAL" verify {} + >"$work/verified" # there may be none
    equal "and every image is intact" $? 0
    find "$back" -name '.saveseal.*' -delete
}
none_open() { ! entries "$mnt" | grep -q "^$1.* draft writing"; }

all_intact() { "$SAVESEAL" verify "$mnt"/crowd.* >"$work/verified"; }
all_whole() {
    local image
    for image in "$mnt"/crowd.*; do
        "$race" check "$image" 0 || return 1
    done
}

# What is over must not keep descriptors of the daemon.
few_descriptors() { [ "$(find "/proc/$daemon/fd" | wc -l)" -lt 100 ]; }

# The rounds in which P4 could be missed, at publication by the last close and, where a round takes a grace time, by the settle rule.
publication() { # ROUNDS
    race_says "new names" create created "$1"
    equal "new names: nothing is left" "$(entry "$mnt" created)" ""
    race_says "overwritten names" overwrite overwritten "$1"
    sealed_only overwritten
    race_says "two threads of one process on one name" siblings siblings $(($1 / 3))
    sealed_only siblings
}

# The same where a round takes a grace time.
settled() {
    stop_daemon
    start_daemon
    publication "$(rounds 200)"
    one_wins "$(rounds 20)"
}

daemon_ends() {
    check "the daemon gives back its descriptors" wait_until 20 few_descriptors
    check "unmounting ends the daemon with status 0" stop_daemon
}

start_daemon -o commit=close
publication "$(rounds 3000)"
one_name "$(rounds 300)"
here one_is_late
one_wins "$(rounds 100)"
fleeting
here settled
race_says "an outsider on a half-written name" outsider outsider "$(rounds 400)"
exec_race
crowd
here daemon_ends
exit $failed
