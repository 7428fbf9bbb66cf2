#!/bin/bash
# Files that are made to take much memory or time, that change while they are read, or that are read with little memory:
# an answer, and no harm.
# shellcheck disable=SC2317
# shellcheck source=tests/lib/mount.sh
. "$(dirname "$0")/lib/mount.sh"

lib=$(cd "$(dirname "$0")/lib" && pwd)
python=$(PATH=/usr/bin:/bin command -v python3 || command -v python3)
command -v qemu-img >/dev/null || skip "no qemu-img"
mkdir "$work/files"

most=65536
! is_sanitized "$SAVESEAL" || most=0
check "the answers are right, and take at most 64 MiB" "$python" "$lib/hostile.py" "$SAVESEAL" "$TEST_BIN_DIR/peak" "$work/files" $most

# 2 TiB of tables, in a hole.
"$python" - "$work/tables" <<'PY'
import struct, sys
cluster, count = 1 << 21, 65536
with open(sys.argv[1], "wb") as file:
    file.write(struct.pack(">4sIQIIQIIQQIIQQQQII", b"QFI\xfb", 3, 0, 0, 21, 1 << 30, 0, 1, cluster, 2 * cluster, 1, count, 3 * cluster,
                           0, 0, 0, 4, 104) + bytes(8))
    file.seek(3 * cluster)
    for i in range(count):
        file.write(struct.pack(">QIHHIIQII16x2s6x", cluster * 16 * (1 + i), 1 << 22, 1, 1, 0, 0, 0, 0, 16, b"ab"))
    file.truncate(cluster * 16 * (1 + count) + cluster)
PY
stops() { # a check that would take minutes, when the time is over
    timeout -s KILL 120 "$SAVESEAL" verify --max-time 1 "$work/tables" >"$work/out" 2>&1
    [ $? -eq 3 ] && grep -q "not reached" "$work/out"
}
check "the tables of 65536 snapshots: --max-time is heeded" stops

# 128 GiB of bitmaps' tables, in a hole.
"$python" - "$work/bitmaps" <<'PY'
import struct, sys
cluster, count, table, disk = 2048, 65535, 2 << 20, 2 << 40
directory, tables = 3 * cluster, 1 << 30
rows = b"".join(struct.pack(">QIIBBHI8s", tables, table // 8, 2, 1, 9, 8, 0, b"%08x" % i) for i in range(count))
with open(sys.argv[1], "wb") as file:
    file.write(struct.pack(">4sIQIIQIIQQIIQQQQII", b"QFI\xfb", 3, 0, 0, 11, disk, 0, 4 << 20, tables, cluster, 1, 0, 0,
                           0, 0, 1, 4, 104))
    file.write(struct.pack(">IIIIQQQ", 0x23852875, 24, count, 0, len(rows), directory, 0))
    file.seek(directory)
    file.write(rows)
    file.truncate(tables + count * table)
PY
stops_bitmap() {
    timeout -s KILL 120 "$SAVESEAL" verify --max-time 1 --bitmap 00000001 "$work/bitmaps" >"$work/out" 2>&1
    [ $? -eq 3 ] && grep -q "stopped in the middle" "$work/out" && return
    sed "s/^/# /" "$work/out"
    return 1
}
check "the tables of 65535 bitmaps: --max-time is heeded" stops_bitmap

if [ $most -gt 0 ]; then
    # Each answers what it would answer, or that there was no memory: never that the file is damaged when it is not.
    limited() { # KIB
        local file got
        for file in "$work/files/zip-entries" "$work/files/zip-bomb" "$work/files/disk0"; do
            (ulimit -d "$1" && exec "$SAVESEAL" verify --deep --jobs 1 "$file") >"$work/out" 2>&1
            got=$?
            [ "$got" -eq 0 ] || { [ "$got" -eq 3 ] && grep -q "memory" "$work/out"; } || { sed "s/^/# $got: /" "$work/out" && return 1; }
        done
    }
    for kib in 1024 2048 4096 8192 16384; do
        check "with $kib KiB of data" limited $kib
    done
fi
exit "$failed"
