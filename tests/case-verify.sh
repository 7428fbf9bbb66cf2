#!/bin/bash
# saveseal verify on many files, and saveseal manifest: trees, jobs, limits, the state, what to compare with, JSON.
#
# SAVESEAL      path of the tool
# TEST_BIN_DIR  directory of mkseal and lockdraft
# SAVESEALFS    path of the daemon; when it is set and FUSE works, a mount is walked, too
set -u

HERE=$(cd "$(dirname "$0")" && pwd)
WRITER='' RUNNER=''

# shellcheck disable=SC2317 # called at the end
case_cleanup() {
    [ -z "$WRITER" ] || kill "$WRITER" 2>/dev/null
    [ -z "$RUNNER" ] || kill "$RUNNER" 2>/dev/null
    if mountpoint -q "$DIR/tree/mnt" 2>/dev/null; then umount "$DIR/tree/mnt"; fi
    if mountpoint -q "$DIR/a/b" 2>/dev/null; then umount "$DIR/a/b"; fi
}

# shellcheck source=tests/lib/tools.sh
. "$HERE/lib/tools.sh"

# ---- helpers ----

# expect with --json: the output is kept for the schema.
expect_json() { # NAME CODE ARGUMENT...
    local name=$1 code=$2
    shift 2
    expect "$name" "$code" none '' verify --json "$@"
    cat "$OUT" >>"$ALL"
}

summary() { # NAME TEXT: the last line of the last output
    check "$1: '$2'" test "$(tail -n 1 "$OUT")" = "$2"
}

# Of the last output, the names of the files: d/x for $DIR/x.
told() { sed -n "s|^$DIR/\([^:]*\): .*|\1|p" "$OUT" | paste -sd' '; }

# shellcheck disable=SC2317 # called by wait_for
remembers_one() { grep -q 'path=' "$STATE" 2>/dev/null; }

# shellcheck disable=SC2317 # called by wait_for
has_draft() { [ -n "$(find "$1" -name '.saveseal.*')" ]; }

# A tree of images: whole but for one, with what is no image beside them.
plant() {
    fresh
    mkdir -p "$DIR/sub/deep" "$DIR/z"
    local name
    for name in a b sub/c sub/deep/d z/e; do sealed "$DIR/$name"; done
    ln -s a "$DIR/link"
    ln -s . "$DIR/sub/loop"
    mkfifo "$DIR/pipe"
}

# ---- trees ----

test_tree() {
    plant
    expect 'tree: without -r a directory is none' 2 err 'not-a-file' verify "$DIR"
    expect 'tree: whole' 0 none '' verify -r "$DIR"
    check 'tree: in the order of names, no links, no fifo' test "$(told)" = 'a b sub/c sub/deep/d z/e'
    summary 'tree' '5 images whole'
    check 'tree: no progress off a terminal' test ! -s "$ERR"
    expect 'tree: --recursive, and a slash' 0 out "$DIR/sub/c: whole" verify --recursive "$DIR/sub/"
    flip "$DIR/sub/deep/d" 40000
    expect 'tree: damaged' 1 out 'sub/deep/d: damaged: content-mismatch' verify -r "$DIR"
    summary 'tree: damaged' '4 images whole, 1 damaged'
    expect 'tree: quick' 0 out '0 images whole, 5 with intact header' verify -r --quick "$DIR"
    expect 'tree: files and directories' 1 out '6 images whole, 1 damaged' verify -r "$DIR/a" "$DIR/b" "$DIR"
    expect 'tree: a link that was named is followed' 1 out "$DIR/sub/loop/c: whole" verify -r "$DIR/sub/loop" --jobs 1
    expect 'tree: none there' 2 err 'none: not-found' verify -r "$DIR/none"
    expect 'tree: an empty one, as of a mount that is missing' 2 err 'not-found' verify -r "$(mktemp -d "$DIR/XXXXXX")"
    summary 'tree: an empty one' '0 images whole, 1 not checked'
    expect_json 'tree: an empty one, JSON' 2 -r "$(mktemp -d "$DIR/XXXXXX")"
    expect_json 'tree: JSON' 1 -r "$DIR"
    json 'tree: JSON in order' '[o["path"].rsplit("/", 1)[1] for o in d[:-1]] == ["a", "b", "c", "d", "e"]'
}

test_tree_names() {
    fresh
    local name
    for name in 'blank name' $'new\nline' $'\xff\xfe' -dash 'back\slash' "quo'te"; do sealed "$DIR/$name"; done
    expect 'names: all are found' 0 out '6 images whole' verify -r "$DIR"
    expect_json 'names: JSON' 0 -r "$DIR"
    json 'names: bytes' '[o["path_hex"] for o in d if "path_hex" in o][0].endswith("fffe")'
    expect 'names: are remembered' 3 none '' verify -r --state "$STATE" --max-bytes 320K "$DIR"
    expect 'names: are known again' 0 out '6 images whole' verify -r --state "$STATE" "$DIR"
    check 'names: one was left to do' test "$(grep -c ': whole' "$OUT")" -eq 1
    (cd "$DIR" && "$SAVESEAL" manifest -r -o "$WORK/names" . && sha256sum --quiet -c "$WORK/names" &&
        "$SAVESEAL" verify --against "$WORK/names") >"$OUT" 2>"$ERR"
    RC=$?
    check 'names: in a manifest' test "$RC" -eq 0
    rm "$STATE"
}

test_tree_drafts() {
    plant
    draft 00000000000000aa a interrupted writer-killed
    draft 00000000000000ab new writing
    lock "$DIR/.saveseal.00000000000000ab"
    expect 'drafts: being written' 3 out 'draft-in-progress' verify -r "$DIR"
    summary 'drafts' '5 images whole, 1 being written, 1 interrupted draft'
    expect_json 'drafts: JSON' 3 -r "$DIR"
    json 'drafts: JSON' '[o["finding"] for o in d if o.get("kind") == "draft"] == ["writer-killed", "draft-in-progress"]
        and d[-1]["summary"]["being_written"] == d[-1]["summary"]["interrupted"] == 1 and d[-1]["exit"] == 3'
    expect 'drafts: the name' 3 out '0 images whole, 1 being written' verify "$DIR/new"
    unlock
    rm "$DIR/.saveseal.00000000000000ab"
    expect 'drafts: an interrupted one damages no image' 0 out 'interrupted draft: writer-killed' verify -r "$DIR"
    expect 'drafts: unless it is asked for' 1 out 'damaged: writer-killed' verify "$DIR/.saveseal.00000000000000aa"
    expect 'drafts: are not listed' 0 none '' manifest -r "$DIR"
    check 'drafts: are not listed at all' test "$(grep -c saveseal/1 "$OUT")" -eq 7 -a "$(grep -c '\.saveseal' "$OUT")" -eq 0
    expect 'drafts: unless asked for' 1 err 'writer-killed' manifest "$DIR/.saveseal.00000000000000aa"
}

test_tree_access() {
    plant
    chmod 755 "$DIR"
    chmod 000 "$DIR/sub"
    run_unprivileged verify -r "$DIR"
    chmod 755 "$DIR/sub"
    check 'access: the rest is checked' grep -q '^3 images whole, 1 not checked$' "$OUT"
    check 'access: no-permission' grep -q "$DIR/sub/\?: no-permission" "$ERR"
    chmod 000 "$DIR/sub"
    run_unprivileged verify --json -r "$DIR"
    chmod 755 "$DIR/sub"
    cat "$OUT" >>"$ALL"
    json 'access: JSON' '[o["kind"] for o in d[:-1]] == ["image", "image", "directory", "image"] and d[-1]["exit"] == 2'
    mkdir -p "$DIR/a.d/b"
    sealed "$DIR/a.d/x"
    if [ "$(id -u)" -ne 0 ] || ! mount --bind "$DIR/a.d" "$DIR/a.d/b" 2>/dev/null; then
        cannot 'access: a directory in itself' 'no bind mounts'
        return
    fi
    expect 'access: a directory in itself' 0 none '' verify -r "$DIR/a.d"
    umount "$DIR/a.d/b"
    summary 'access: a directory in itself' '1 image whole'
}

test_mount() {
    local tree=$WORK/tree daemon back=$WORK/back
    fresh
    if [ -z "${SAVESEALFS:-}" ] || [ ! -w /dev/fuse ]; then
        cannot 'mount' 'no SAVESEALFS or no /dev/fuse'
        return
    fi
    mkdir -p "$DIR/tree/mnt" "$back/sub"
    tree=$DIR/tree
    sealed "$tree/plain"
    for name in bad sub/good; do sealed "$back/$name"; done
    flip "$back/bad" 10
    DIR=$back draft 00000000000000aa vm interrupted writer-killed
    "$SAVESEALFS" -f "$back" "$tree/mnt" >"$WORK/daemon.log" 2>&1 &
    daemon=$!
    wait_for mountpoint -q "$tree/mnt" || { not_ok 'mount'; return; }
    head -c 70000 /dev/urandom >"$tree/mnt/saved"
    expect 'mount: below a tree' 1 out 'mnt/bad: damaged: header-mismatch' verify -r "$tree"
    check 'mount: all of it' test "$(told)" = \
        'tree/mnt/.saveseal.00000000000000aa tree/mnt/bad tree/mnt/saved tree/mnt/sub/good tree/plain'
    summary 'mount' '3 images whole, 1 damaged, 1 interrupted draft'
    expect 'mount: no place for a state' 2 err 'request-refused' verify -r --state "$tree/mnt/state" "$tree"
    check 'mount: nothing is left of it' test ! -e "$back/state"
    (cd "$tree/mnt" && "$SAVESEAL" verify -r . >"$WORK/there")
    (cd "$back" && "$SAVESEAL" verify -r . >"$OUT")
    check 'mount: says what its backing directory says' cmp -s "$OUT" "$WORK/there"
    mkfifo "$WORK/go"
    { head -c 10 /dev/zero; read -r _ <"$WORK/go"; } >"$tree/mnt/saved" &
    WRITER=$!
    rm "$back/.saveseal.00000000000000aa"
    wait_for has_draft "$back"
    expect 'mount: the old one is whole while a new one is written' 1 out 'mnt/saved: whole' verify -r "$tree/mnt/"
    summary 'mount: a new one is written' '2 images whole, 1 damaged, 1 being written'
    echo >"$WORK/go"
    wait "$WRITER"
    WRITER=''
    umount "$tree/mnt"
    wait "$daemon"
}

# ---- several at a time ----

test_jobs() {
    fresh
    local i
    mkdir "$DIR/s"
    for ((i = 0; i < 60; i++)); do head -c "$((i * 997))" /dev/urandom >"$DIR/s/$i"; done
    for i in big1 big2 big3; do image "$DIR/s/$i" 20480; done
    "$MKSEAL" "$DIR"/s/*
    flip "$DIR/s/big2" 15000000
    flip "$DIR/s/33" 30000
    expect 'jobs: one' 1 out '61 images whole, 2 damaged' verify --jobs 1 -r "$DIR"
    cp "$OUT" "$WORK/one"
    for i in 2 7; do
        expect "jobs: $i" 1 none '' verify --jobs "$i" -r "$DIR"
        check "jobs: $i say the same in the same order" cmp -s "$OUT" "$WORK/one"
    done
    expect 'jobs: as many as there are processors' 1 none '' verify -r "$DIR"
    check 'jobs: say the same' cmp -s "$OUT" "$WORK/one"
    expect 'jobs: two, and a state' 1 none '' verify --jobs 3 --state "$STATE" -r "$DIR"
    check 'jobs: with a state say the same' cmp -s "$OUT" "$WORK/one"
    rm "$STATE"
}

# ---- limits ----

test_usage() {
    local arguments
    fresh
    sealed "$DIR/a"
    while read -r arguments; do
        # shellcheck disable=SC2086 # words
        expect "usage: $arguments" 2 err 'verify: usage: ' verify $arguments "$DIR/a"
        check "usage: $arguments: nothing is done" test ! -s "$OUT"
    done <<'EOF'
--rate 0
--rate 10X
--rate -1
--rate 99999999999999999999
--max-bytes 9223372036854775807K
--max-bytes 1.5G
--max-time 10x
--max-time 20y
--max-time 0s
--jobs 0
--jobs 65
--jobs two
--quick --deep
--quick --against x
--bitmap x -r
--bitmap x --state y
EOF
    expect 'usage: no PATH' 2 err 'a name is missing' verify -r
    expect 'usage: units' 0 none '' verify --rate 1GiB --max-bytes 2T --max-time 1d --jobs 64 "$DIR/a"
    expect 'usage: manifest' 2 err 'manifest: usage: ' manifest --jobs 0 "$DIR/a"
}

test_max_bytes() {
    plant
    expect 'max-bytes: what fits is checked' 3 none '' verify -r --max-bytes 150K "$DIR"
    check 'max-bytes: from the start on' test "$(told)" = 'a b'
    summary 'max-bytes' '2 images whole, 3 not reached; stopped: --max-bytes is used up'
    expect 'max-bytes: the first is checked in any case' 3 out '1 image whole, 4 not reached' verify -r --max-bytes 1 "$DIR"
    expect 'max-bytes: all fit' 0 out '5 images whole' verify -r --max-bytes 320K "$DIR"
    expect_json 'max-bytes: JSON' 3 -r --max-bytes 150K "$DIR"
    json 'max-bytes: JSON' '[o["finding"] for o in d[:-1]] == ["intact"] * 2 + ["not-reached"] * 3 and
        d[-1]["summary"]["not_reached"] == 3 and d[-1]["stopped"]'
    expect 'max-bytes: --quick reads little' 0 none '' verify -r --quick --max-bytes 20K "$DIR"
    image "$DIR/z/long" 4096
    "$MKSEAL" "$DIR/z/long"
    expect 'max-time: in the middle of a file' 3 out 'z/long: temporary: not-reached' \
        verify --max-time 1 --rate 256K --jobs 1 "$DIR/a" "$DIR/z/long" "$DIR/b"
    summary 'max-time' '1 image whole, 2 not reached; stopped: --max-time is over'
}

# Reading 2 MiB at 2 MiB a second takes most of one: what is read is counted, not timed.
test_rate() {
    local begin end
    fresh
    sealed "$DIR/a" 2048
    begin=$(date +%s%N)
    expect 'rate: whole' 0 none '' verify --rate 2M "$DIR/a" "$DIR/a"
    end=$(date +%s%N)
    check 'rate: is kept' test $((end - begin)) -ge 1500000000
    TERM=vt100 run_on_terminal '' verify --rate 2M "$DIR/a"
    check 'progress: on a terminal, with the time that is left' grep -q 'verify \[#* *\] .*MiB/s, 0:0[01] left' "$OUT"
    check 'progress: the answer' grep -q '^.*a: whole (seal' "$OUT"
}

# ---- the state ----

test_state() {
    plant
    expect 'state: first part' 3 out '2 images whole, 3 not reached' verify -r --state "$STATE" --max-bytes 128K "$DIR"
    expect 'state: second part' 3 out '4 images whole, 1 not reached' verify -r --state "$STATE" --max-bytes 128K "$DIR"
    check 'state: goes on' test "$(told)" = 'sub/c sub/deep/d'
    flip "$DIR/b" 30000
    expect 'state: what changed is looked at again' 1 out '3 images whole, 1 damaged, 1 not reached' \
        verify -r --state "$STATE" --max-bytes 64K "$DIR"
    expect 'state: the end' 1 out '4 images whole, 1 damaged' verify -r --state "$STATE" "$DIR"
    check 'state: what is damaged is told again' test "$(told)" = 'b z/e'
    check 'state: and that it was found earlier' grep -q 'b: damaged: .*found by an earlier run' "$OUT"
    expect 'state: then all anew' 3 out '1 image whole, 4 not reached' verify -r --state "$STATE" --max-bytes 64K "$DIR"
    expect_json 'state: JSON' 1 -r --state "$STATE" "$DIR"
    json 'state: JSON' '[o.get("remembered") for o in d[:-1]] == [True, None, None, None, None]'
    check 'state: no other file is left' test "$(find "$WORK" -maxdepth 1 -name '.saveseal*' | wc -l)" -eq 0
    expect 'state: unwritable' 2 err 'not-found' verify --state "$DIR/none/state" "$DIR/a"
    rm "$STATE"
    expect 'state: in the tree that it is of' 1 out '4 images whole, 1 damaged' verify -r --state "$DIR/state" "$DIR"
    expect 'state: and again' 1 out '4 images whole, 1 damaged' verify -r --state "$DIR/state" "$DIR"
    rm "$DIR/state"
}

test_state_refused() {
    local kind
    fresh
    sealed "$DIR/a"
    head='saveseal/1 verify-state=1 mode=whole finished=no against='
    for kind in "hello" "$head
saveseal/1 finding=nonsense" "saveseal/1 verify-state=2 mode=x" "$head
cut" "saveseal/1 verify-state=1"; do
        printf '%s' "$kind" >"$STATE"
        cp "$STATE" "$WORK/before"
        expect "state: '${kind//$'\n'/ }' is none" 2 err 'dest-exists' verify --state "$STATE" "$DIR/a"
        check 'state: and is left alone' cmp -s "$STATE" "$WORK/before"
        check 'state: nothing is looked at' test ! -s "$OUT"
    done
    expect 'state: an image is none' 2 err 'dest-exists' verify --state "$DIR/a" "$DIR/a"
    : >"$STATE"
    expect 'state: an empty file will do' 0 none '' verify --state "$STATE" "$DIR/a"
    expect 'state: another kind of run' 2 err 'whole instead of quick' verify --quick --state "$STATE" "$DIR/a"
    rm "$STATE"
    ln -s "$DIR/a" "$STATE"
    expect 'state: a link' 2 err 'not-a-file' verify --state "$STATE" "$DIR/a"
    rm "$STATE"
    mkfifo "$STATE"
    expect 'state: a fifo' 2 err 'not-a-file' verify --state "$STATE" "$DIR/a"
    rm "$STATE"
}

# Ends a run in the middle by a signal, and goes on.
test_signal() { # SIGNAL STATUS
    local signal=$1 status=$2 count=30 i
    fresh
    # Enough for the state to be saved before the end, which it is the more seldom the longer a save takes.
    for ((i = 0; i < count; i++)); do image "$DIR/$i" 512; done
    "$MKSEAL" "$DIR"/*
    "$SAVESEAL" verify -r --jobs 1 --rate 1M --state "$STATE" "$DIR" >"$OUT" 2>"$ERR" &
    RUNNER=$!
    check "$signal: a state is there before the end" wait_for remembers_one
    expect "$signal: a second run has to wait" 3 err 'busy' verify -r --state "$STATE" "$DIR"
    kill "-$signal" "$RUNNER"
    wait "$RUNNER" 2>/dev/null
    RC=$?
    RUNNER=''
    check "$signal: exit status" test "$RC" -eq "$status"
    i=$(grep -c path= "$STATE")
    check "$signal: not all was done" test "$i" -lt "$count"
    expect "$signal: the next goes on" 0 out "$count images whole" verify -r --state "$STATE" "$DIR"
    check "$signal: after what was done" test "$(grep -c ': whole' "$OUT")" -eq $((count - i))
    rm "$STATE"
}

test_signal_summary() {
    fresh
    sealed "$DIR/a"
    sealed "$DIR/b" 8192
    : >"$OUT" # or what the last test left there would be taken for an answer
    "$SAVESEAL" verify --jobs 1 --rate 64K --json "$DIR/a" "$DIR/b" "$DIR/c" >"$OUT" 2>"$ERR" &
    RUNNER=$!
    wait_for test -s "$OUT"
    kill -TERM "$RUNNER"
    wait "$RUNNER"
    RC=$?
    RUNNER=''
    cat "$OUT" >>"$ALL"
    check 'TERM: temporary' test "$RC" -eq 3
    json 'TERM: the one in the middle is not half checked' '[o["finding"] for o in d[:-1]] == ["intact", "not-reached"] and
        d[-1]["stopped"] == "SIGTERM"'
}

# ---- a file that changes ----

test_changing() {
    fresh
    sealed "$DIR/a" 1024
    # Writes what is there already, so that nothing but the times can tell.
    cp "$DIR/a" "$DIR/other"
    python3 - "$DIR/a" "$WORK/writing" <<'PY' &
import sys, time
with open(sys.argv[1], "r+b", buffering=0) as f:
    byte = f.read(1)
    open(sys.argv[2], "w").close()
    while True:
        f.seek(0)
        f.write(byte)
        time.sleep(0.01)
PY
    WRITER=$!
    wait_for test -e "$WORK/writing"
    expect_json 'changing: temporary' 3 --rate 1M "$DIR/a"
    json 'changing: temporary' 'd[0]["finding"] == "changed-while-reading"'
    expect 'changing: against another' 3 out 'changed-while-reading' verify --rate 1M --against "$DIR/other" "$DIR/a"
    expect 'changing: no manifest of it' 3 err 'changed-while-reading' manifest --rate 1M "$DIR/a"
    kill "$WRITER"
    wait "$WRITER" 2>/dev/null
    WRITER=''
}

# ---- manifests ----

test_manifest() {
    plant
    image "$DIR/bare"
    (cd "$DIR" && "$SAVESEAL" manifest -r -o ../m .)
    RC=$?
    check 'manifest: made' test "$RC" -eq 0
    (cd "$DIR" && sha256sum -c ../m) >"$OUT" 2>"$ERR"
    RC=$?
    check 'manifest: sha256sum -c takes it' test "$RC" -eq 0 -a ! -s "$ERR" -a "$(grep -c ': OK$' "$OUT")" -eq 6
    rm -rf "$WORK/copy"
    cp -r "$DIR" "$WORK/copy" # the seals stay behind
    cd "$WORK/copy" || exit 1
    expect 'manifest: a copy' 0 out '6 images whole' verify --against ../m
    expect 'manifest: a copy, as a tree' 0 out '6 images whole' verify -r --against ../m .
    flip bare 100
    printf x >>z/e
    truncate -s 100 sub/c
    rm b
    image new
    expect_json 'manifest: changes' 1 --against ../m
    json 'manifest: findings' '{o["path"]: o["finding"] for o in d[:-1]} == {"a": "intact", "b": "not-found",
        "bare": "differs", "sub/c": "truncated", "sub/deep/d": "intact", "z/e": "grown"}
        and d[0]["reference"] == "manifest" and d[0]["against"] == "../m"'
    expect_json 'manifest: a tree' 1 -r --against ../m .
    json 'manifest: what is not listed' '{o["path"]: o["finding"] for o in d[:-1]}["./new"] == "not-listed"'
    (cd "$DIR" && find . -type f -exec sha256sum {} +) >"$WORK/sums"
    expect 'manifest: of sha256sum' 1 out '2 images whole, 3 damaged, 1 not checked' verify --against ../sums
    (cd "$DIR" && "$SAVESEAL" verify -r --deep --against ../sums . >"$OUT")
    summary 'manifest: of sha256sum, where it was made' '6 images whole'
    cd "$WORK" || exit 1
    cp m m.bad
    sed -i '4s/^../zz/' m.bad
    expect 'manifest: a line that is none' 2 err 'line 4' verify --against m.bad
    sed '$s/^..../0000/' m | cat m - >m.bad
    expect 'manifest: a contradiction' 2 err 'contradicts' verify --against m.bad
    expect 'manifest: none there' 2 err 'not-found' verify --against none a
    expect 'manifest: a state goes with it' 3 none '' verify -r --against m --state "$STATE" --max-bytes 1 "$DIR"
    expect 'manifest: but not with another' 2 err 'dest-exists' verify -r --against sums --state "$STATE" "$DIR"
    cp m m.new && mv m.new m
    expect 'manifest: nor with a later one of that name' 2 err 'dest-exists' verify -r --against m --state "$STATE" "$DIR"
    rm "$STATE"
}

test_manifest_refused() {
    plant
    echo old >"$WORK/m"
    flip "$DIR/b" 5
    expect 'manifest: not of what is damaged' 1 err 'b: header-mismatch' manifest -r -o "$WORK/m" "$DIR"
    check 'manifest: the old one stays' test "$(cat "$WORK/m")" = old
    expect 'manifest: of what there is not' 2 err 'not-found' manifest "$DIR/a" "$DIR/none"
    check 'manifest: nothing is written' test ! -s "$OUT"
    expect 'manifest: of a directory' 2 err 'not-a-file' manifest "$DIR"
    expect 'manifest: not over a device' 2 err 'not-a-file' manifest -o /dev/null "$DIR/a"
    check 'manifest: the device is one' test -c /dev/null
    expect 'manifest: no such directory' 2 err 'not-found' manifest -o "$DIR/none/m" "$DIR/a"
    expect 'manifest: in its own tree' 0 none '' manifest -r -o "$DIR/z/m" "$DIR/z"
    expect 'manifest: in its own tree, again' 0 none '' manifest -r -o "$DIR/z/m" "$DIR/z"
    check 'manifest: is not listed in itself' test "$(grep -c '^[0-9a-f]' "$DIR/z/m")" -eq 1
    expect 'manifest: nor looked for' 0 out '1 image whole' verify -r --against "$DIR/z/m" "$DIR/z"
    rm -f "$WORK"/.saveseal-*
}

test_against_image() {
    fresh
    sealed "$DIR/a"
    cp "$DIR/a" "$DIR/same"
    cp "$DIR/a" "$DIR/other"
    flip "$DIR/other" 60000
    cp "$DIR/other" "$DIR/short"
    truncate -s 9 "$DIR/short"
    expect 'against: by the seal' 0 out 'same: whole (as in the seal of' verify --against "$DIR/a" "$DIR/same"
    expect 'against: by the content' 0 out 'a: whole (the same as' verify --against "$DIR/same" "$DIR/a"
    expect_json 'against: others' 1 --against "$DIR/a" "$DIR/other" "$DIR/short"
    json 'against: others' '[o["finding"] for o in d[:-1]] == ["differs", "truncated"] and d[0]["reference"] == "seal"'
    flip "$DIR/a" 100
    expect 'against: the seal counts, not what became of it' 1 out 'a: damaged: differs' verify --against "$DIR/a" "$DIR/a"
    expect 'against: no tree' 2 err 'needs a manifest' verify -r --against "$DIR/same" "$DIR"
    expect 'against: what?' 2 err 'a name is missing' verify --against "$DIR/same"
    expect 'against: a directory' 2 err 'not-a-file' verify --against "$DIR" "$DIR/a"
}

# ---- JSON ----

# One of each finding that a file alone can have, and one of each class.
test_schema() {
    plant
    image "$DIR/bare"
    cp -a "$DIR/a" "$DIR/newer"
    setfattr -n user.saveseal.seal -v 'saveseal/2 x=y' "$DIR/newer"
    cp -a "$DIR/a" "$DIR/invalid"
    setfattr -n user.saveseal.seal -v nonsense "$DIR/invalid"
    image "$DIR/thin"
    "$MKSEAL" --header "$DIR/thin"
    printf 'LibvirtQemudPart%076d' 0 >"$DIR/part"
    expect_json 'schema: a tree' 1 -r "$DIR"
    json 'schema: findings' '{"intact", "unsealed", "seal-too-new", "seal-invalid"} <= {o.get("finding") for o in d}'
    json 'schema: inside' '[o["inside"]["kind"] for o in d if o.get("path", "").endswith("/bare")] == ["unknown"]'
    expect_json 'schema: quick' 1 --quick -r "$DIR"
    expect_json 'schema: deep' 1 --deep -r "$DIR"
    expect_json 'schema: none there' 2 "$DIR/none" "$DIR" "$DIR/pipe"
    if ! qemu-img create -q -f qcow2 "$DIR/disk" 1M; then
        cannot 'schema: bitmaps' 'no qemu-img'
        return
    fi
    expect_json 'schema: no such bitmap' 5 --bitmap b1 "$DIR/disk"
    expect_json 'schema: no qcow2' 2 --bitmap b1 "$DIR/a"
    if ! python3 -c 'import jsonschema'; then
        cannot 'schema' 'no jsonschema for Python'
        return
    fi
    "$SAVESEAL" errors --json >"$WORK/errors"
    "$HERE/lib/schema.py" "$HERE/../docs/verify.schema.json" "$WORK/errors" "$ALL" >"$OUT" 2>"$ERR"
    RC=$?
    check "schema: all $(wc -l <"$ALL") lines are as docs/verify.schema.json has them" test "$RC" -eq 0
}

tools_start verify
STATE=$WORK/state ALL=$WORK/all.json
test_tree
test_tree_names
test_tree_drafts
test_tree_access
test_mount
test_jobs
test_usage
test_max_bytes
test_rate
test_state
test_state_refused
test_signal KILL 137
test_signal TERM 3
test_signal_summary
test_changing
test_manifest
test_manifest_refused
test_against_image
test_schema
exit "$FAILED"
