#!/bin/bash
# libsaveseal as its users have it: installed, found by pkg-config, its example compiled by their compilers; and the
# recipe of its manual for Python.
# shellcheck disable=SC2317
# shellcheck source=tests/lib/mount.sh
. "$(dirname "$0")/lib/mount.sh"

: "${BUILD:?build directory}" "${CC:?C compiler}" "${SANITIZE:?its sanitizers, or none}"
source=$(cd "$(dirname "$0")/.." && pwd)
header=$source/core/library/saveseal.h
root=$work/root
strict=(-Wall -Wextra -Werror -pedantic)
sanitize=()
[ "$SANITIZE" = none ] || sanitize=("-fsanitize=$SANITIZE")
read -ra compiler <<<"$CC"

# ---- installed ----

install_it() {
    meson install -C "$BUILD" --no-rebuild --destdir "$root" --tags runtime,devel >"$work/install" 2>&1 && return
    cat "$work/install"
    return 1
}
check "it is installed" install_it
pc=$(find "$root" -name saveseal.pc)
export PKG_CONFIG_PATH=${pc%/*} PKG_CONFIG_SYSROOT_DIR=$root
check "pkg-config finds it" pkg-config --exists saveseal
equal "with its version" "$(pkg-config --modversion saveseal)" "$("$SAVESEAL" --version | grep -oE '[0-9]+\.[0-9.]+')"
read -ra cflags < <(pkg-config --cflags saveseal)
read -ra libs < <(pkg-config --libs saveseal)
libdir=$(pkg-config --variable=libdir saveseal)
[ -d "$libdir" ] || libdir=$root$libdir
equal "it is linked by its soname" "$(readlink "$libdir/libsaveseal.so")" libsaveseal.so.0
equal "and its users ask for no package of its own libraries" "$(pkg-config --print-requires --print-requires-private saveseal)" ""
equal "one header" "$(find "$root" -name '*.h' -printf '%f ')" "saveseal.h "
export LD_LIBRARY_PATH=$libdir

# ---- exported ----

declared() { grep -v '^#' "$header" | tr '\n' ' ' | grep -oE 'SAVESEAL_API [^;]*\(' | sed -E 's/\(.*//; s/.*[ *]//' | sort; }
exported() { nm -D --defined-only "$libdir/libsaveseal.so.0" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort; }
check "there are declarations" test "$(declared | wc -l)" -ge 40
# The sanitizers add functions of their own to what they compile.
equal "what is declared is exported, and nothing else" "$(exported | grep -vE '^(__asan|__tsan|__ubsan|__odr_asan)')" "$(declared)"
page=$source/docs/man/libsaveseal.3.scd
equal "and the manual names it" "$(for name in $(declared); do grep -q "$name" "$page" || echo "$name"; done)" ""

# ---- used ----

example=$source/docs/examples/check.c
compile() { "${compiler[@]}" "${sanitize[@]}" "${strict[@]}" "$@" "${cflags[@]}"; }
check "the example is C99" compile -std=c99 -o "$work/check" "$example" "${libs[@]}"
check "and C++" clang -x c++ -std=c++11 "${strict[@]}" "${cflags[@]}" -c -o "$work/check.o" "$example"
check "which links as well" compile -o "$work/check++" "$work/check.o" "${libs[@]}"

cd "$work" || exit 1
head -c 100000 /dev/urandom >whole
cp whole changed
"$TEST_BIN_DIR/mkseal" whole changed
printf x | dd of=changed bs=1 seek=50000 conv=notrunc status=none
echo text >unsealed
printf LibvirtQemudPart >part
{ # the description of a save image is no XML: libraries complain on their own
    printf 'LibvirtQemudSave\2\0\0\0\20\0\0\0\1\0\0\0'
    head -c 64 /dev/zero
    printf '<domain><nam>\0\0\0'
    printf 'QEVM\0\0\0\3'
} >bad-description
files=(whole changed unsealed part bad-description nothing .)
"$SAVESEAL" verify --json "${files[@]}" >by-tool 2>/dev/null
status=$?
ids() { sed -n 's/"inside":.*//; s/.*"finding":"\([^"]*\)".*/\1/p' by-tool; }
for program in check check++; do
    "./$program" "${files[@]}" >said 2>complained
    equal "$program exits as the tool does" $? $status
    equal "says the same" "$(grep -o '^[^ ]*: [a-z-]*:' said | cut -d' ' -f2)" "$(ids | sed 's/$/:/')"
    equal "and nothing else" "$(cat complained)" ""
done
equal "what was found" "$(ids | head -n 4 | tr '\n' ' ')" "intact content-mismatch unsealed format-incomplete "
check "whole alone" ./check whole
truncate -s 150M long
"$TEST_BIN_DIR/mkseal" long
equal "a long one: how far it is" "$(./check long 2>&1 >/dev/null)" "long: 150 of 150 MiB"

# ---- the recipe for Python ----

awk '/^# /{on = $2 == "PYTHON"} /^```$/{blocks += on; next} on && blocks == 1' "$page" >recipe.py
PATH=${SAVESEAL%/*}:$PATH
export PATH
python=$(PATH=/usr/bin:/bin command -v python3 || command -v python3)
odd=$'odd\xff\n'
cp --preserve=xattr whole "$odd"
cat >use.py <<'PYTHON'
import sys
from recipe import verify
answers = verify(*sys.argv[1:])
for answer in answers:
    print(answer["finding"], answer["exit"], ascii(answer["path"]))
assert len(verify("whole", options=["--quick"])) == 1
try:
    verify("whole", options=["--nonsense"])
except RuntimeError as error:
    print("error:", "unknown option" in str(error))
PYTHON
equal "the recipe for Python works" "$("$python" -B use.py whole changed nothing -- "$odd" 2>&1)" \
    "intact 0 'whole'
content-mismatch 1 'changed'
not-found 2 'nothing'
not-found 2 '--'
intact 0 'odd\\udcff\\n'
error: True"
exit $failed
