#!/bin/bash
# The settle rule: a writer that closes its half file well and then fails publishes nothing; one that ends well, or lives on, does;
# and whoever looks after its close() sees the outcome.
# shellcheck disable=SC2016,SC2119,SC2317  # commands are for an inner shell; parts are called by name
# shellcheck source=tests/lib/mount.sh
. "$(dirname "$0")/lib/mount.sh"

for program in curl git rsync; do
    command -v $program >/dev/null || skip "no $program"
done

writer=$TEST_BIN_DIR/writer
old=$work/old
new=$work/new # what "create write:100K" makes
hold=$work/hold
long=60000 # ms: a grace time whose end no part waits for
name=
count=0
server=
small= # set: the store is to be full
python=$(PATH=/usr/bin:/bin command -v python3)
export B=$work/big PYTHON=$python

case_cleanup() {
    [ ! -e "$hold" ] || rm "$hold"
    [ -z "$server" ] || kill "$server" 2>/dev/null
    if mountpoint -q "$back"; then umount "$back"; fi
}

serve() { # OPTION...: anew
    [ -z "$daemon" ] || stop_daemon || not_ok "the daemon did not end with status 0"
    start_daemon "$@"
}
fresh_name() {
    count=$((count + 1))
    name=f$count
}
over_old() {
    fresh_name
    cp "$old" "$back/$name"
}
state() { entry "$mnt" "$name"; }
state_like() {
    # shellcheck disable=SC2053  # a pattern
    [[ $(state) == $1 ]]
}
becomes() { check "$1" wait_until 10 state_like "$2"; } # TEXT PATTERN
is() { cmp -s "$1" "$mnt/$name"; }                       # FILE
act() { timeout 60 "$writer" "$mnt/$name" "$@" </dev/null; }
draft_begun() { [ -n "$(find "$back" -name '.saveseal.*')" ]; }
discard_all() { find "$back" -name '.saveseal.*' -delete; }

# closed STEP...: a writer that lives on, until let_go. Comes back when its close() has.
closed() {
    touch "$hold"
    exec 8< <(exec "$writer" "$mnt/$name" create write:100K close size "$@" 2>&1 </dev/null)
    held=$!
    read -r -u 8 said
    [ "$said" = "size 102400" ] || not_ok "the writer said '$said'"
}
let_go() {
    rm -f "$hold"
    wait "$held"
    exec 8<&-
}

# --- writers that fail ---

# failing TEXT PATTERN COMMAND: many times, on new names and over old versions. Nothing may be published; drafts have that reason.
failing() {
    local text=$1 i public=0 rounds
    rounds=$(rounds "${FAILURES:-40}") # 100 in a full run
    discard_all
    for ((i = 0; i < rounds; i++)); do
        name=fail
        rm -f "$back/$name"
        [ -z "$small" ] || make_room
        [ $((i % 2)) -eq 0 ] || cp "$old" "$back/$name"
        { F=$mnt/$name bash -c "$3"; } >/dev/null 2>&1
        if [ $((i % 2)) -eq 0 ]; then
            [ ! -e "$mnt/$name" ] || public=$((public + 1))
        else
            is "$old" || public=$((public + 1))
        fi
    done
    equal "$text: published partials of $rounds" "$public" 0
    # One that is stopped before it has opened its file leaves none.
    rm -f "$back/$name"
    check "$text: drafts are kept" test "$(state | grep -c '^draft ')" -gt $((rounds / 2))
    wait_until 10 no_draft_open
    equal "$text: all with that reason" "$(state | grep '^draft ' | grep -vE "^draft interrupted $2" | head -n 3)" ""
}
# A store with room for 400 KiB more, or some MiB when the daemon lets go of what was deleted.
make_room() {
    mount -o "remount,size=$((($(stat -f -c '(%b - %f) * %S' "$back")) + 400 * 1024))" "$back"
}
no_draft_open() { ! state | grep -q '^draft writing'; }

# Answers every request with half of what it announces; then it cuts the connection, or waits for its end (/stall).
half_server() {
    exec 7< <(exec "$PYTHON" -u -c '
import http.server
class Half(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "200000")
        self.end_headers()
        self.wfile.write(b"x" * 100000)
        if self.path == "/stall": self.rfile.read(1)
    def log_message(self, *words): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Half)
print(server.server_port)
server.serve_forever()')
    server=$!
    read -r -u 7 port
    export U=http://127.0.0.1:$port
}

failures() {
    local exited="writer-exited writer exited with status"
    failing "python, an exception in a with block" "$exited 1" '$PYTHON -c "
with open(\"$F\", \"w\") as file:
    file.write(\"x\" * 200000)
    raise ValueError"'
    failing "dd, SIGINT" "writer-killed writer killed by signal 2" \
        'timeout -s INT 0.1 dd if=<(head -c 200K $B; exec sleep 1) of="$F" bs=64K'
    half_server
    failing "curl, the connection is cut" "$exited 18" 'curl -s -o "$F" "$U/cut"'
    failing "curl, interrupted by its own limit" "$exited 28" 'curl -s -m 0.1 -o "$F" "$U/stall"'
    failing "curl, killed" "writer-killed writer killed by signal 15" 'timeout 0.1 curl -s -o "$F" "$U/stall"'
    kill "$server"
    failing "tar, killed" "writer-killed writer killed by signal 15" \
        'timeout 0.1 tar -cf "$F" -C / --use-compress-program="sh -c \"head -c 100K; exec sleep 1\"" "$B"'
    failing "cat >f, a source is missing" "$exited 1" 'cat "$B" /nonexistent >"$F"'
    failing "gunzip >f, a damaged source" "$exited 1" '{ gzip -c "$B" | head -c 100K; } | gunzip -c >"$F"'
    failing "close, SIGKILL" "writer-killed writer killed by signal 9" "$writer"' "$F" create write:100K close kill:9'
    failing "close, exit(3)" "$exited 3" "$writer"' "$F" create write:100K close exit:3'
    failing "a copy of an image that says from the start that it is complete" "$exited 3" \
        "$writer"' "$F" create save:4K at:92 write:100K close exit:3'
    failing "close, a little later exit(3)" "$exited 3" "$writer"' "$F" create write:100K close nap:3 exit:3'
    failing "a child that wrote fails after its close, the parent closes last" "$exited 3" \
        "$writer"' "$F" create write:50K fork [ write:50K close exit:3 ] join close'
    failing "a child that wrote fails, the parent had closed before" "$exited 3" \
        "$writer"' "$F" create write:50K fork [ orphaned write:50K close exit:3 ] close'
    failing "a program that is run by exec" "$exited 1" "$writer"' "$F" create write:100K close exec:/bin/false'
    failing "a thread ends the process" "$exited 3" "$writer"' "$F" create write:100K close thread [ exit:3 ] await:a'
}

full_disk() {
    stop_daemon
    mount -t tmpfs none "$back"
    start_daemon
    small=1
    truncate -s 40M "$work/huge"
    failing "cp to a full disk" "write-failed write failed: ENOSPC" 'cp --sparse=never '"$work/huge"' "$F"'
    failing "tar to a full disk" "write-failed write failed: ENOSPC" 'tar -cf "$F" '"$work/huge"''
    small=
    stop_daemon
    umount "$back"
    start_daemon
}

# --- writers that end well, or live on ---

# Each is looked at by processes that are made after it has ended.
no_misses() {
    local i misses=0 rounds
    rounds=$(rounds "${LOOKS:-1000}") # 3,000 in a full run
    for ((i = 0; i < rounds; i++)); do
        echo "$i" >"$work/source"
        cp "$work/source" "$mnt/copy"
        [ "$(cat "$mnt/copy")" = "$i" ] || misses=$((misses + 1))
    done
    equal "cp, then cat, $rounds times: misses" "$misses" 0
    for ((i = 0; i < rounds; i += 3)); do
        cp "$work/source" "$mnt/copy$i"
        [ -n "$(find "$mnt" -maxdepth 1 -name "copy$i")" ] || misses=$((misses + 1))
        rm "$mnt/copy$i" || misses=$((misses + 1))
    done
    equal "cp, then a listing, then rm: misses" "$misses" 0
}

lives_on() {
    fresh_name
    act create write:100K close nap:300 exit:3
    becomes "fails after the grace time: believed" "image sealed intact"
    fresh_name
    act create write:100K close nap:300 kill:9
    becomes "killed after the grace time: believed" "image sealed intact"
    fresh_name
    act create write:100K fork [ close exit:3 ] join close
    becomes "a child that neither opened nor wrote fails before the last close: published" "image sealed intact"
    over_old
    act create write:100K close "rename:$name.moved" exit:0
    equal "over an old version, and renamed: nothing is left of that" "$(state)" ""
    check "and the new one is there" cmp -s "$new" "$mnt/$name.moved"
    over_old
    cp "$old" "$back/$name.too"
    act create write:100K close "exchange:$name.too" exit:0
    check "exchanged with an image" cmp -s "$new" "$mnt/$name.too"
    check "by one who has just closed it" is "$old"
    # With dash the shell itself is the creator, and all of its commands are of the family.
    over_old
    (cd "$mnt" && sh -c "cat $new >$name; mv $name $name.moved; cat $new >>$name.moved; ln $name.moved $name; rm $name.moved")
    equal "shell commands one after the other" "$(stat -c '%s %h' "$mnt/$name")$(entry "$mnt" "$name.moved")" "204800 1"
    over_old
    closed "hold:$hold" exit:3
    check "overwritten; after close() a new process reads the new version" is "$new"
    let_go
    check "and still does" is "$new"
}

# With a grace time so long that who does not wait surely looks too early.
others_wait() {
    serve -o settle=400
    fresh_name
    closed "hold:$hold"
    check "lives on: after close() a new process reads it" is "$new"
    let_go
    fresh_name
    closed "hold:$hold"
    check "stat finds it" test -s "$mnt/$name"
    let_go
    fresh_name
    closed "hold:$hold"
    equal "a listing shows it" "$(find "$mnt" -name "$name" | wc -l)" 1
    let_go
    over_old
    closed "hold:$hold"
    check "an edit by another" dd if="$old" of="$mnt/$name" bs=1 count=1 seek=200K conv=notrunc status=none
    check "is one of the new version" cmp -s -n 102400 "$new" "$mnt/$name"
    let_go
    fresh_name
    closed "hold:$hold"
    check "a new version by another" cp "$old" "$mnt/$name"
    let_go
    check "is what stays" is "$old"
    fresh_name
    closed "hold:$hold"
    check "O_EXCL by another" refused "$writer" "$mnt/$name" excl
    let_go
    fresh_name
    closed "hold:$hold"
    check "rm by another" rm "$mnt/$name"
    let_go
    equal "is final" "$(state)" ""
    fresh_name
    closed "hold:$hold"
    check "mv by another" mv "$mnt/$name" "$mnt/$name.moved"
    let_go
    equal "finds it" "$(state)$(entry "$mnt" "$name.moved")" "image sealed intact"
    over_old
    cp "$old" "$work/else"
    closed "hold:$hold"
    check "mv over it by another" mv "$work/else" "$mnt/$name"
    let_go
    check "is what stays" is "$old"
    fresh_name
    closed "hold:$hold"
    cp "$old" "$mnt/else"
    check "exchange by another" exchange "$name" else
    check "takes the new version away" cmp -s "$new" "$mnt/else"
    let_go
    list_put_off
}
# The one that settles longer is decided later: its writer is at work when its time is over, and gets more of it.
list_put_off() {
    fresh_name
    local busy=$name
    exec 7< <(exec "$python" -c 'import sys, time
with open(sys.argv[1], "w") as file: file.write("x" * 5000)
print(flush=True)
end = time.monotonic() + 1.5
while time.monotonic() < end: pass' "$mnt/$busy")
    read -r -u 7
    sleep 0.2
    fresh_name
    closed "hold:$hold"
    sleep 0.25
    equal "a listing waits for all, in whatever order they are decided" \
        "$(find "$mnt" \( -name "$name" -o -name "$busy" \) | wc -l)" 2
    let_go
    exec 7<&-
}
refused() { "$@" | grep -q ': E'; }
exchange() {
    "$python" -c 'import ctypes, sys
sys.exit(ctypes.CDLL(None).renameat2(-100, sys.argv[1].encode(), -100, sys.argv[2].encode(), 2) != 0)' "$mnt/$1" "$mnt/$2"
}

# More who wait than there are threads to serve them; then the writer fails.
many_wait() {
    local i waiters=
    serve -o settle="$long"
    for over in free old; do
        if [ "$over" = free ]; then fresh_name; else over_old; fi
        closed "hold:$hold" exit:3
        waiters=
        for ((i = 0; i < 300; i++)); do
            cat "$mnt/$name" >"$work/waited.$i" 2>/dev/null &
            waiters+=" $!"
        done
        sleep 0.2
        let_go
        # shellcheck disable=SC2086  # several
        wait $waiters
        becomes "300 wait for a writer that fails ($over name)" "*draft interrupted writer-exited writer exited with status 3"
        if [ "$over" = free ]; then
            equal "and see nothing" "$(find "$work" -name 'waited.*' -size +0 | wc -l)" 0
        else
            equal "and see the old version" "$(sha256sum "$work"/waited.* "$old" | cut -c 1-64 | sort -u | wc -l)" 1
        fi
        rm "$work"/waited.*
    done
    fresh_name
    closed "hold:$hold"
    cat "$mnt/$name" >/dev/null 2>&1 &
    sleep 0.2
    kill -KILL $!
    wait $! 2>/dev/null
    equal "who waits can be killed" $? 137
    let_go
}

# A family never waits for itself: none of this would end in time.
family_does_not_wait() {
    serve -o settle="$long"
    fresh_name
    equal "the family sees and lists its draft" "$(act create write:100K close size read close size)" "size 102400
size 102400"
    becomes "and then it is published" "image sealed intact"
    fresh_name
    act create write:50K close open at:50K write:50K close
    becomes "reopened while it settles: published" "image sealed intact"
    check "as it is then" is "$new"
    over_old
    act create write:50K close append write:50K kill:9
    becomes "reopened, and killed: kept" "*draft interrupted writer-killed *"
    check "and the old version is there" is "$old"
    fresh_name
    act create write:50K close append close exit:3
    becomes "reopened, closed, exit(3): kept" "draft interrupted writer-exited *"
    fresh_name
    act create write:50K fork [ open at:50K write:50K close exit:3 ] join exit:0
    becomes "reopened by a child that fails: kept" "draft interrupted writer-exited writer exited with status 3"
    fresh_name
    act create write:100K close cut:50K exit:0
    becomes "truncated by name while it settles: published" "image sealed intact"
    equal "as it is then" "$(stat -c %s "$mnt/$name")" 51200

    over_old
    act create write:100K close unlink exit:0
    equal "unlinked while it settles: nothing stays, as everywhere" "$(state)" ""
    fresh_name
    act create write:100K close unlink exit:0
    equal "the same on a free name" "$(state)" ""
    over_old
    count=$((count + 1))
    "$writer" "$mnt/f$count" create write:100K close "rename:$name" exit:0
    check "renamed over an old version while it settles: published there" is "$new"
    over_old
    count=$((count + 1))
    "$writer" "$mnt/f$count" create write:100K close "rename:$name" exit:3
    becomes "the same, and exit(3): kept" "image unsealed unsealed
draft interrupted writer-exited *"
    check "and the old version is there" is "$old"
}

# two EXIT: python saves two at once and exits so.
two() {
    "$python" -c 'import os, sys
one, two = (open(path, "wb") for path in sys.argv[2:])
for file in one, two: file.write(b"x" * 5000)
one.close(); two.close(); os._exit(int(sys.argv[1]))' "$1" "$mnt/$name" "$mnt/$name.two"
}
several() {
    serve -o settle=2000 # the second close may take longer than 20 ms
    fresh_name
    two 0
    equal "two saves at once: both published" "$(cat "$mnt/$name" "$mnt/$name.two" | wc -c)" 10000
    fresh_name
    two 3
    check "and when their writer fails, none" test ! -e "$mnt/$name" -a ! -e "$mnt/$name.two"
    serve
    fresh_name
    "$python" -c 'import os, sys
one, two = sys.argv[1:]
with open(one, "wb") as file: file.write(b"x" * 5000)
os.link(one, two); os.unlink(one)' "$mnt/$name" "$mnt/$name.linked"
    equal "link and unlink right after close" "$(entry "$mnt" "$name.linked") $(stat -c '%h %s' "$mnt/$name.linked")" "image sealed intact 1 5000"
    git -C "$mnt" init -q repo && echo x >"$mnt/repo/x" && git -C "$mnt/repo" add x &&
        git -C "$mnt/repo" -c user.name=a -c user.email=a commit -q -m x
    equal "git commit" "$(git -C "$mnt/repo" status --short && git -C "$mnt/repo" fsck 2>&1)" ""
    rsync -a "$work/big" "$old" "$mnt/copies/" && rsync -a "$mnt/copies/" "$work/copies/"
    check "rsync in, rsync out" cmp -s "$work/big" "$work/copies/big"
    rm -rf "$mnt/repo" "$mnt/copies"
}

# --- the ends of the daemon ---

# terminated TEXT: SIGTERM, and then the writer goes on: its last close ends the session.
terminated() {
    kill -TERM "$daemon"
    wait_until 10 eval '! mountpoint -q "$mnt"'
    let_go
    wait "$daemon"
    equal "$1: the daemon ends with status 0" $? 0
    daemon=
}

ends() {
    serve -o settle="$long"
    over_old
    closed "hold:$hold"
    check "unmounted while it settles: the daemon ends with status 0" stop_daemon
    check "who lives is believed" cmp -s "$new" "$back/$name"
    let_go
    start_daemon -o settle="$long"
    fresh_name
    act create write:100K close exit:3
    check "unmounted right after a failure" stop_daemon
    check "nothing is published" test ! -e "$back/$name"
    start_daemon -o settle="$long"
    equal "and the draft is kept" "$(state)" "draft interrupted writer-exited writer exited with status 3"
    fresh_name
    closed "hold:$hold"
    kill_daemon
    let_go
    start_daemon
    becomes "the daemon is killed while it settles: kept" "draft interrupted closed-unpublished *"
    fresh_name
    discard_all
    touch "$hold"
    exec 8< <(exec "$writer" "$mnt/$name" create write:100K "hold:$hold" close exit:3 2>&1)
    held=$!
    wait_until 10 draft_begun
    terminated "a writer that fails after SIGTERM"
    check "nothing is published" test ! -e "$back/$name"
    ends_at_work
}

# The last close ends the session, and its writer needs longer than it waits for those who rest.
ends_at_work() {
    start_daemon -o settle="$long"
    fresh_name
    touch "$hold"
    exec 7< <(exec "$python" -c 'import os, sys, time
file = open(sys.argv[1], "w")
file.write("x" * 5000)
print(flush=True)
while os.path.exists(sys.argv[2]): time.sleep(0.01)
file.close()
end = time.monotonic() + 0.4
while time.monotonic() < end: pass
sys.exit(3)' "$mnt/$name" "$hold")
    held=$!
    read -r -u 7
    terminated "one that is at work when its time is over"
    check "it is waited for, and fails: nothing is published" test ! -e "$back/$name"
    exec 7<&-
}

# --- other modes ---

commit_exit() {
    local i
    serve -o commit=exit
    over_old
    closed "hold:$hold"
    check "commit=exit: others have the old version, and do not wait" is "$old"
    check "a listing does not wait either" ls "$mnt" >"$work/listed"
    let_go
    check "after exit(0): the new one" wait_until 10 is "$new"
    fresh_name
    closed nap:200 "hold:$hold" exit:3
    check "a new name is not there" test ! -e "$mnt/$name"
    let_go
    becomes "after exit(3): kept" "draft interrupted writer-exited writer exited with status 3"
    fresh_name
    act create fork [ orphaned write:100K close nap:100 exit:3 ] close
    becomes "a child that wrote fails much later: kept" "draft interrupted writer-exited writer exited with status 3"
    fresh_name
    for i in $(seq 100); do /bin/echo "$i" >>"$mnt/$name" || break; done
    equal "programs that append one after the other: each goes on where the last one ended" "$(wc -l <"$mnt/$name")" 100
    marked
    fresh_name
    closed "hold:$hold"
    check "unmounting: the daemon ends with status 0" stop_daemon
    check "who lives is believed then" cmp -s "$new" "$back/$name"
    let_go
}

# The format's own mark says more than how a program ends.
marked() {
    fresh_name
    touch "$hold"
    exec 8< <(exec "$writer" "$mnt/$name" create part:4K at:92 write:100K close open save:4K close size "hold:$hold" exit:3 2>&1)
    held=$!
    read -r -u 8
    becomes "a format with a mark: published at once" "image sealed intact"
    let_go
    becomes "however its writer ends" "image sealed intact"
}

commit_close() {
    serve -o commit=close
    fresh_name
    act create write:100K close kill:9
    becomes "commit=close: closed and killed: published" "image sealed intact"
    fresh_name
    act create write:100K close exit:3
    becomes "closed and exit(3): published" "image sealed intact"
    fresh_name
    act create write:100K exit:3
    becomes "exit(3) with it open: kept" "draft interrupted writer-exited *"
    serve -o settle="$long"
    marked
}

# option_error OPTION TEXT
option_error() {
    local said status
    said=$("$SAVESEALFS" -o "$1" "$back" "$mnt" 2>&1)
    status=$?
    equal "-o $1" "$status $said" "2 savesealfs: $2"
}
options() {
    option_error commit=now "commit=now: must be settle, close or exit"
    for value in -1 60001 "" 5x 99999999999999999999; do
        option_error "settle=$value" "settle=$value: must be a number of milliseconds from 0 to 60000"
    done
    option_error commit=exit,settle=5 "settle=5: means nothing with commit=exit"
    serve -o settle=0
    fresh_name
    act create write:100K close
    becomes "settle=0: published" "image sealed intact"
}

head -c 150K /dev/urandom >"$old"
head -c 1M /dev/urandom >"$B"
"$writer" "$new" create write:100K close
start_daemon
for part in failures full_disk no_misses lives_on others_wait many_wait family_does_not_wait several ends commit_exit commit_close options; do
    [ $# -eq 0 ] || [[ " $* " == *" $part "* ]] || continue
    [ -n "$daemon" ] || start_daemon
    $part
done
[ -z "$daemon" ] || stop_daemon || not_ok "the daemon did not end with status 0"
exit $failed
