#!/bin/bash
# saveseal verify and manifest where something is in the way: files that are missing, lists that were cut, leftovers of
# runs that were killed, deep trees, directories that are images, full disks, and many threads at once.
#
# SAVESEAL      path of the tool
# TEST_BIN_DIR  directory of mkseal and lockdraft
set -u

: "${SAVESEAL:?path of the tool}" "${TEST_BIN_DIR:?directory of the test helpers}"
MKSEAL=$TEST_BIN_DIR/mkseal
# shellcheck disable=SC2034 # for lib/tools.sh
LOCKDRAFT=$TEST_BIN_DIR/lockdraft
HERE=$(cd "$(dirname "$0")" && pwd)

WORK=$(mktemp -d "${TMPDIR:-/tmp}/saveseal-trees.XXXXXX") || exit 1
chmod 755 "$WORK"
OUT=$WORK/out ERR=$WORK/err DIR=$WORK/dir STATE=$WORK/state
mkdir "$DIR"
FAILED=0
RC=0
# shellcheck disable=SC2034 # for lib/tools.sh
LOCK_PID='' LOCK_FIFO=$WORK/lock.fifo
RUNNER=''

# shellcheck disable=SC2317 # called by the trap
cleanup() {
    [ -z "$RUNNER" ] || kill -KILL "$RUNNER" 2>/dev/null
    if mountpoint -q "$WORK/full" 2>/dev/null; then umount "$WORK/full"; fi
    rm -rf "$WORK"
}
trap cleanup EXIT

# shellcheck source=tests/lib/tools.sh
. "$HERE/lib/tools.sh"

# ---- helpers ----

cannot() { # NAME WHY
    if [ "${SAVESEAL_MUST_RUN:-0}" = 1 ]; then not_ok "$1: $2"; else skip "$1" "$2"; fi
}

rounds() { echo $(($1 * ${ROUNDS_PERCENT:-100} / 100 > 0 ? $1 * ${ROUNDS_PERCENT:-100} / 100 : 1)); }

wait_for() { # COMMAND...
    local i
    for ((i = 0; i < 400; i++)); do
        if "$@"; then return 0; fi
        read -r -t 0.05 <><(:)
    done
    return 1
}

summary() { # NAME TEXT: the last line of the last output
    check "$1: '$2'" test "$(tail -n 1 "$OUT")" = "$2"
}

# shellcheck disable=SC2317 # called by wait_for
holds() { grep -q -- "$1" "$2" 2>/dev/null; }

# Runs verify on an image called a and one called b, which comes next and has to wait, and holds it between the two. The
# images are made anew by PREPARE, should it have been too fast.
hold() { # PREPARE ARGUMENT...
    local tries prepare=$1
    shift
    for tries in 1 2 3 4 5; do
        fresh
        $prepare
        : >"$OUT"
        "$SAVESEAL" verify --json --jobs 1 --rate 256K "$@" >"$OUT" 2>"$ERR" &
        RUNNER=$!
        wait_for holds '/a"' "$OUT"
        kill -STOP "$RUNNER"
        holds '/b"' "$OUT" || return 0
        echo "# too fast, try $tries"
        release
    done
    not_ok 'a run is held'
}

release() {
    kill -CONT "$RUNNER"
    wait "$RUNNER"
    RC=$?
    RUNNER=''
}

plant() {
    fresh
    mkdir -p "$DIR/sub/deep" "$DIR/sub2"
    local name
    for name in a b sub/c sub/deep/d sub2/e; do sealed "$DIR/$name"; done
}

# ---- manifests ----

test_missing() {
    plant
    expect 'missing: a manifest' 0 none '' manifest -r -o "$WORK/m" "$DIR"
    rm "$DIR/sub/deep/d" "$DIR/b"
    expect 'missing: what is listed below is told' 2 err "$DIR/sub/deep/d: not-found" verify -r --against "$WORK/m" "$DIR"
    check 'missing: each' grep -q "$DIR/b: not-found" "$ERR"
    summary 'missing' '3 images whole, 2 not checked'
    expect 'missing: below that directory only' 2 err 'sub/deep/d: not-found' verify -r --against "$WORK/m" "$DIR/sub/"
    summary 'missing: below a directory' '1 image whole, 1 not checked'
    expect 'missing: nothing' 0 none '' verify -r --against "$WORK/m" "$DIR/sub2"
    expect 'missing: once, however it is written' 2 none '' verify -r --against "$WORK/m" "$DIR/sub/." "$DIR//sub/deep"
    check 'missing: once' test "$(grep -c 'd: not-found' "$ERR")" -eq 1
    rm -r "$DIR/sub"
    expect 'missing: with its directory' 2 err 'sub/c: not-found' verify -r --against "$WORK/m" "$DIR/sub"
    check 'missing: with its directory, all' grep -q 'sub/deep/d: not-found' "$ERR"
    expect 'missing: JSON' 2 none '' verify --json -r --against "$WORK/m" "$DIR"
    json 'missing: JSON' '[o["path"].rsplit("/", 1)[1] for o in d[:-1] if o["finding"] == "not-found"] == ["b", "c", "d"] and
        d[-1]["summary"]["invalid"] == 3 and d[-1]["exit"] == 2'
    flip "$DIR/a" 9
    expect 'missing: damage is worse' 1 none '' verify -r --against "$WORK/m" "$DIR"
    DIR=$DIR draft 00000000000000ab b writing
    lock "$DIR/.saveseal.00000000000000ab"
    expect 'missing: it is being saved' 1 out '/b: temporary: draft-in-progress' verify -r --against "$WORK/m" "$DIR"
    unlock
    ln -s a "$DIR/b"
    rm "$DIR/.saveseal.00000000000000ab"
    expect 'missing: a link is followed, as without -r' 1 out "/b: damaged: differs" verify -r --against "$WORK/m" "$DIR"
    expect 'missing: a stop looks for no more' 3 none '' verify -r --against "$WORK/m" --max-bytes 1 "$DIR/sub2" "$DIR"
}

test_cut_manifest() {
    local lines n
    plant
    (cd "$DIR" && "$SAVESEAL" manifest -r -o "$WORK/m" .)
    (cd "$DIR" && sha256sum --strict --warn -c "$WORK/m") >"$OUT" 2>"$ERR"
    RC=$?
    check 'cut: sha256sum has nothing to complain of' test "$RC" -eq 0 -a ! -s "$ERR"
    cd "$DIR" || exit 1
    lines=$(wc -l <"$WORK/m")
    for ((n = 1; n < lines; n++)); do
        head -n "$n" "$WORK/m" >"$WORK/cut"
        expect "cut: to $n of $lines lines" 2 err 'it was cut' verify --against "$WORK/cut"
    done
    grep -v '  b$' "$WORK/m" >"$WORK/cut"
    expect 'cut: a line is gone' 2 err 'request-refused' verify -r --against "$WORK/cut" .
    sort "$WORK/m" >"$WORK/cut"
    expect 'cut: sorted' 2 err 'request-refused' verify --against "$WORK/cut"
    sed 's/  b$/  z/;s/  a$/  b/;s/  z$/  a/' "$WORK/m" >"$WORK/cut"
    expect 'cut: names that changed places' 1 out 'damaged: differs' verify --against "$WORK/cut"
    cat "$WORK/m" "$WORK/m" >"$WORK/twice"
    expect 'cut: two in one' 0 none '' verify --against "$WORK/twice"
    grep -v '^#' "$WORK/m" >"$WORK/plain"
    expect 'cut: plain lines have no end' 0 none '' verify -r --against "$WORK/plain" .
    sed '1i # made by hand' "$WORK/plain" >"$WORK/commented"
    expect 'cut: a comment before them' 0 none '' verify -r --against "$WORK/commented" .
    md5sum a b >"$WORK/md5"
    expect 'other digests: no image is damaged for them' 2 err 'other digests' verify --against "$WORK/md5" a
    sha256sum --tag a >"$WORK/tag"
    expect 'other digests: with tags' 2 err 'other digests' verify --against "$WORK/tag" a
    cd "$WORK" || exit 1
}

test_output() {
    plant
    echo precious >"$WORK/precious"
    ln -s precious "$WORK/link"
    expect 'output: not through a link' 2 err 'not-a-file' manifest -r -o "$WORK/link" "$DIR"
    check 'output: what it leads to stays' test "$(cat "$WORK/precious")" = precious -a -L "$WORK/link"
    ln -sfn nothing "$WORK/link"
    expect 'output: not in place of one that leads nowhere' 2 err 'not-a-file' manifest -r -o "$WORK/link" "$DIR"
    check 'output: which stays' test -L "$WORK/link" -a ! -e "$WORK/nothing"
    expect 'output: no directory for it is told at once' 2 err 'not-found' manifest -r -o "$WORK/none/m" "$DIR"
    check 'output: before anything is read' test "$(wc -l <"$ERR")" -eq 1
    install -m 640 /dev/null "$WORK/m"
    expect 'output: replaces' 0 none '' manifest -r -o "$WORK/m" "$DIR"
    check 'output: keeps the mode' test "$(stat -c %a "$WORK/m")" = 640
    mkdir "$WORK/full"
    if [ "$(id -u)" -ne 0 ] || ! mount -t tmpfs -o size=8k none "$WORK/full" 2>/dev/null; then
        cannot 'output: a full disk' 'no mounts'
        return
    fi
    echo old >"$WORK/full/m"
    head -c 4096 /dev/zero >"$WORK/full/rest" # a page is left to each of them
    expect 'output: a full disk' 3 err 'No space left' manifest -r -o "$WORK/full/m" "$DIR"
    check 'output: the old one stays, and nothing else' test "$(cat "$WORK/full/m")" = old -a "$(find "$WORK/full" -type f | wc -l)" -eq 2
    expect 'state: a full disk' 3 err 'No space left' verify -r --state "$WORK/full/state" "$DIR"
    umount "$WORK/full"
}

# An answer that does not arrive is none, and nobody needs the others.
test_no_reader() {
    plant
    "$SAVESEAL" verify --jobs 1 -r "$DIR" >/dev/full 2>"$ERR"
    RC=$?
    check 'output: a full disk for the answers' test "$RC" -eq 3
    flip "$DIR/a" 9
    "$SAVESEAL" verify --jobs 1 -r --state "$STATE" "$DIR" >/dev/full 2>"$ERR"
    RC=$?
    check 'output: damage is worse' test "$RC" -eq 1
    check 'output: a run without a reader is not gone on with' test "$(grep -c path= "$STATE")" -lt 5
    expect 'output: what it found is told again' 1 out 'a: damaged: header-mismatch' verify -r --state "$STATE" "$DIR"
    rm "$STATE"
    "$SAVESEAL" verify -r --state "$STATE" "$DIR" >&- 2>"$ERR"
    RC=$?
    check 'output: none' test "$RC" -eq 1
    check 'output: its words are in no file' test "$(grep -cv '^saveseal/1 ' "$STATE")" -eq 0
    "$SAVESEAL" verify -r "$DIR" 2>&- >"$OUT"
    RC=$?
    check 'output: no standard error' test "$RC" -eq 1
    rm "$STATE"
}

# ---- an empty tree ----

test_empty() {
    fresh
    mkdir "$DIR/store" "$DIR/other"
    sealed "$DIR/other/a"
    expect 'empty: is told of the one that is' 2 err 'store: not-found' verify -r "$DIR/store" "$DIR/other"
    summary 'empty' '1 image whole, 1 not checked'
    expect 'empty: a state is no image' 2 err 'store: not-found' verify -r --state "$DIR/store/state" "$DIR/store"
    rm "$DIR/store/state"
    mkdir "$DIR/store/sub"
    expect 'empty: directories are no images' 2 none '' verify -r --json "$DIR/store"
    json 'empty: JSON' 'd[0]["kind"] == "directory" and d[0]["finding"] == "not-found" and d[-1]["exit"] == 2'
    expect 'empty: no manifest' 2 err 'no manifest was written' manifest -r "$DIR/store"
    expect 'empty: as part of another it does not matter' 0 none '' verify -r "$DIR"
}

# ---- the state ----

test_leftovers() {
    local i
    plant
    echo rest >"$DIR/.saveseal-manifest-0123456789abcdef"
    echo rest >"$DIR/sub/.saveseal-state-0123456789abcdef"
    expect 'leftovers: are no images' 0 none '' verify -r "$DIR"
    summary 'leftovers' '5 images whole'
    echo rest >"$DIR/.saveseal-state-mine"
    expect 'leftovers: other names are looked at' 4 out 'saveseal-state-mine: unknown: unsealed' verify -r "$DIR"
    rm "$DIR/.saveseal-state-mine" "$DIR/.saveseal-manifest-0123456789abcdef" "$DIR/sub/.saveseal-state-0123456789abcdef"
    for ((i = 0; i < 12; i++)); do cp -a "$DIR/a" "$DIR/copy$i"; done
    # The first save of the state is short; in the last it is killed, by SIGXFSZ.
    { (ulimit -c 0 -f 1 && exec "$SAVESEAL" verify -r --state "$DIR/state" "$DIR") >/dev/null; } 2>"$ERR"
    RC=$?
    check 'leftovers: killed in the middle of a save' test "$RC" -gt 128
    check 'leftovers: there is one' test "$(find "$DIR" -name '.saveseal-state-*' | wc -l)" -eq 1
    expect 'leftovers: another run passes over it' 4 out '1 unknown' verify -r "$DIR" # the state is a file
    expect 'leftovers: the next run goes on' 0 out '17 images whole' verify -r --state "$DIR/state" "$DIR"
    check 'leftovers: and takes it away' test "$(find "$DIR" -name '.saveseal-state-*' | wc -l)" -eq 0
    rm "$DIR/state"
}

# What can fail comes before the last word.
# shellcheck disable=SC2317 # called by hold
prepare_last_word() {
    mkdir -p "$WORK/gone"
    sealed "$DIR/a" 256
    sealed "$DIR/b" 256
}

test_last_word() {
    hold prepare_last_word --state "$WORK/gone/state" "$DIR/a" "$DIR/b"
    rm -r "$WORK/gone"
    release
    check 'last word: the state can not be saved' test "$RC" -ne 0
    json 'last word: and the summary says so' "d[-1]['exit'] == $RC"
}

test_stamps() {
    plant
    expect 'stamps: a state' 3 none '' verify -r --max-bytes 64K --state "$STATE" "$DIR"
    check 'stamps: with the file system' grep -qE ' stamp=(fs|dev)-[0-9a-f]+:65536:[0-9]+:' "$STATE"
    sed -i -E 's/ stamp=(fs|dev)-[0-9a-f]+:/ stamp=fs-123456789abc:/' "$STATE"
    expect 'stamps: of another disk nothing is known' 3 out 'a: whole' verify -r --max-bytes 64K --state "$STATE" "$DIR"
    rm "$STATE"
}

# ---- deep trees ----

# With few descriptors, and paths that are longer than any system call takes.
test_deep() {
    fresh
    python3 - "$DIR" <<'PY'
import os, sys
at = os.open(sys.argv[1], os.O_RDONLY)
for level in range(120):
    os.close(os.open("a", os.O_WRONLY | os.O_CREAT, dir_fd=at))
    os.close(os.open("z", os.O_WRONLY | os.O_CREAT, dir_fd=at))
    name = "d" * 60
    os.mkdir(name, dir_fd=at)
    below = os.open(name, os.O_RDONLY, dir_fd=at)
    os.close(at)
    at = below
PY
    (ulimit -n 70 && exec "$SAVESEAL" verify --jobs 2 -r --json "$DIR") >"$OUT" 2>"$ERR"
    RC=$?
    check 'deep: nothing is whole' test "$RC" -eq 4
    json 'deep: all are found, down and up again' 'd[-1]["summary"]["unknown"] == 240 and sum(d[-1]["summary"].values()) == 240'
    json 'deep: in order' '[len(o["path"]) for o in d[:-1]] == sorted(len(o["path"]) for o in d[:120]) + sorted((len(o["path"]) for o in d[120:-1]), reverse=True)'
    (ulimit -n 20 && exec "$SAVESEAL" verify --jobs 1 -r "$DIR") >"$OUT" 2>"$ERR"
    RC=$?
    check 'deep: what can not be opened is told' test "$RC" -eq 3
    check 'deep: with the reason' grep -q 'd/\?: io-error: .*Too many open files' "$ERR"
    find "$DIR" -mindepth 1 -delete
}

# Directories that are moved away on the way back.
# shellcheck disable=SC2317 # called by hold
prepare_moved() {
    local deepest
    deepest=$DIR/tree/$(seq -s / 40)
    mkdir -p "$deepest" "$DIR/away"
    sealed "$DIR/tree/1/2/3/4/5/6/7/z"
    sealed "$DIR/tree/1/2/z"
    sealed "$deepest/a" 256
    sealed "$deepest/b" 256
}

test_moved() {
    hold prepare_moved -r "$DIR/tree"
    mv "$DIR/tree/1/2/3/4/5/6/7/8" "$DIR/away/8"
    mv "$DIR/tree/1/2/3/4" "$DIR/away/4"
    release
    check 'moved: what was left to do is told' test "$RC" -eq 3
    json 'moved: with the place' '[(o["path"].split("/tree/")[1], o["finding"]) for o in d[2:-1]] ==
        [("1/2/3/4/5/6/7/", "io-error"), ("1/2/z", "intact")]'
    fresh
}

# ---- directories that are images ----

criu() { # DIRECTORY
    mkdir -p "$1"
    PYTHONPATH=$HERE/lib python3 - "$1" <<'PY'
import os, sys
import dumps_make
for name, content in dumps_make.criu().items():
    with open(os.path.join(sys.argv[1], name), "wb") as file:
        file.write(content)
PY
}

test_directories() {
    local runs
    fresh
    criu "$DIR/dump"
    sealed "$DIR/a"
    expect 'criu: in a tree it is one image' 0 out "$DIR/dump: complete by its own marks" verify -r --deep "$DIR"
    summary 'criu' '1 image whole, 1 complete by its own marks'
    expect 'criu: as named' 0 out '0 images whole, 1 complete' verify -r --deep "$DIR/dump"
    expect 'criu: JSON' 4 none '' verify -r --json "$DIR"
    json 'criu: JSON' '[(o["path"].rsplit("/", 1)[1], o["finding"]) for o in d[:-1]] == [("a", "intact"), ("dump", "unsealed")]
        and d[1]["inside"]["kind"] == "criu"'
    "$MKSEAL" "$DIR/dump/pages-1.img"
    expect 'criu: seals in it count' 0 out 'pages-1.img: whole' verify -r --deep "$DIR"
    flip "$DIR/dump/pages-1.img" 100
    expect 'criu: where they do not agree, too' 1 out 'pages-1.img: damaged' verify -r --deep "$DIR"
    image "$DIR/dump/vm1.save"
    image "$DIR/dump/disk.img"
    expect 'criu: what is no part of it is told' 1 out 'dump/vm1.save: unknown' verify -r --deep "$DIR"
    check 'criu: by its name' grep -q 'dump/disk.img: unknown' "$OUT"
    rm "$DIR/dump/vm1.save" "$DIR/dump/disk.img"
    draft 00000000000000aa x interrupted writer-killed
    mv "$DIR/.saveseal.00000000000000aa" "$DIR/dump"
    expect 'criu: drafts in it are told' 1 out '1 interrupted draft' verify -r "$DIR"
    rm "$DIR/dump/.saveseal.00000000000000aa" "$DIR/dump/core-12.img"
    setfattr -x user.saveseal.seal "$DIR/dump/pages-1.img"
    expect 'criu: damaged' 1 out 'dump: damaged: structure-damaged' verify -r "$DIR"
    rm -r "$DIR/dump"
    criu "$DIR/dump"
    expect 'criu: a state' 0 none '' verify --deep -r --state "$STATE" --max-time 1d "$DIR"
    sed -i 's/finished=yes/finished=no/' "$STATE" # as if it had been stopped
    printf x >>"$DIR/dump/pages-1.img"
    expect 'criu: is not remembered by the times of the directory' 1 out 'dump: damaged' verify --deep -r --state "$STATE" "$DIR"
    rm "$STATE"
    rm -r "$DIR/dump"
    criu "$DIR/dump"
    for ((runs = 0; runs < 60; runs++)); do
        run verify -r --state "$STATE" --max-bytes 1 "$DIR"
        [ "$RC" -eq 3 ] || break
    done
    check 'criu: each run gets on, file by file' test "$RC" -eq 4 -a "$runs" -gt 5
    rm "$STATE"
    expect 'criu: has no digest' 2 err 'not-a-file' verify --against "$DIR/a" "$DIR/dump"
    expect 'criu: nor for a manifest' 2 err 'not-a-file' manifest "$DIR/dump"
    expect 'criu: its files have' 0 none '' manifest -r -o "$WORK/m" "$DIR"
    check 'criu: each is listed' test "$(grep -c 'dump/.*\.img' "$WORK/m")" -eq "$(find "$DIR/dump" -name '*.img' | wc -l)"
    expect 'criu: and are compared' 0 none '' verify -r --against "$WORK/m" "$DIR"
}

# ---- many threads ----

# The libraries for XML and for what is packed, in many threads at once; ThreadSanitizer has something to look at.
test_threads() {
    local count limit
    count=$(rounds 120)
    [ "$count" -ge 24 ] || count=24 # some of each kind
    fresh
    python3 - "$HERE/fuzz/corpus/libvirt/raw" "$DIR" "$count" <<'PY'
import bz2, gzip, lzma, os, struct, sys
with open(sys.argv[1], "rb") as file:
    raw = file.read()
HEADER = 92
data_len = struct.unpack_from("<I", raw, 20)[0]
at = HEADER + data_len
packers = {0: lambda data: data, 1: gzip.compress, 2: bz2.compress, 3: lzma.compress}
for i in range(int(sys.argv[3])):
    kind = i % 4
    content = raw[:28] + struct.pack("<I", kind) + raw[32:at] + packers[kind](raw[at:])
    if i % 12 == 7:
        content = content[:-9]
    if i % 12 == 10:
        content = content.replace(b"<domain", b"<domaim", 1)
    with open(os.path.join(sys.argv[2], f"{i:03}"), "wb") as file:
        file.write(content)
PY
    run verify --deep --jobs 1 -r "$DIR"
    cp "$OUT" "$WORK/one"
    check 'threads: there is something to find' test "$RC" -eq 1 -a "$(grep -c 'complete by its own' "$OUT")" -ge 5
    expect 'threads: eight' 1 none '' verify --deep --jobs 8 -r "$DIR"
    check 'threads: say the same' cmp -s "$OUT" "$WORK/one"
    limit=$(($(cat "$DIR"/* | wc -c) * 3 / 4))
    expect 'threads: with a state and a limit' 1 out 'not reached; stopped: --max-bytes' verify --deep --jobs 8 --max-bytes $limit --state "$STATE" -r "$DIR"
    expect 'threads: and the rest' 1 none '' verify --deep --jobs 8 --state "$STATE" -r "$DIR"
    check 'threads: in all the same' test "$(tail -n 1 "$OUT")" = "$(tail -n 1 "$WORK/one")"
    rm "$STATE"
    expect 'threads: slowly' 1 none '' verify --deep --jobs 8 --rate 1M -r --json "$DIR"
    json 'threads: JSON' "sum(d[-1]['summary'].values()) == $count"
}

if ! setfattr -n user.saveseal.probe -v 1 "$DIR" 2>/dev/null; then
    skip 'trees' "no user attributes in $WORK"
    [ "${SAVESEAL_MUST_RUN:-0}" = 1 ] && exit 1
    exit 77
fi
export SAVESEAL
test_missing
test_cut_manifest
test_output
test_no_reader
test_empty
test_leftovers
test_last_word
test_stamps
test_deep
test_moved
test_directories
test_threads
exit "$FAILED"
