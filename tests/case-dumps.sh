#!/bin/bash
# Dumps, CRIU directories, safetensors and zip: what saveseal --deep says of whole and of damaged ones.
# shellcheck source=tests/lib/mount.sh
. "$(dirname "$0")/lib/mount.sh"

lib=$(cd "$(dirname "$0")/lib" && pwd)
python=$(PATH=/usr/bin:/bin command -v python3 || command -v python3)
command -v qemu-system-x86_64 >/dev/null || skip "no qemu-system-x86_64"
mkdir "$work/machine" "$work/files"

check "QEMU dumps a machine's memory" "$python" "$lib/dump_guest.py" "$work/machine"
every=$((100 / $(rounds 100)))
check "the answers are right" "$python" "$lib/dumps.py" "$SAVESEAL" "$work/files" "$work/machine" "$every"
exit "$failed"
