#!/bin/bash
# What holds for the source itself. Usage: lint.sh SOURCE BUILD
set -u
source=$1 build=$2
failed=0
cd "$source" || exit 1

report() { # TEXT STATUS
    if [ "$2" -eq 0 ]; then echo "ok - $1"; else
        echo "not ok - $1"
        failed=1
    fi
}
mapfile -t c_files < <(find core fuse preload tools tests docs -name '*.[ch]' | sort)
mapfile -t shell_files < <(grep -rlIE --exclude-dir=corpus '^#!/bin/(ba)?sh|^# shellcheck shell=' scripts tests .ci | sort)
mapfile -t python_files < <(find scripts tests -name '*.py' | sort)

long=$(wc -l "${c_files[@]}" "${shell_files[@]}" "${python_files[@]}" | awk '$2 != "total" && $1 > 600')
[ -z "$long" ] || echo "$long"
report "no source file over 600 lines" "$([ -z "$long" ]; echo $?)"

# core <- fuse, preload, tools; these three never include each other.
arrows=$({
    grep -nE '#include "(fuse|tools|preload)/' core/*.[ch] core/*/*.[ch]
    grep -nE '#include "(core/)?(check|inside)/' core/*.[ch]
    grep -nE '#include "core/check/' core/inside/*.[ch]
    grep -nE '#include "core/(check|inside)/' fuse/*.[ch] preload/*.[ch]
    grep -nE '#include ["<]((core/)?library/|saveseal\.h)' core/*.[ch] core/check/*.[ch] core/inside/*.[ch] fuse/*.[ch] preload/*.[ch] tools/*.[ch]
    grep -nE '#include "(tools|preload)/' fuse/*.[ch]
    grep -nE '#include "(fuse|preload)/' tools/*.[ch]
    grep -nE '#include "(fuse|tools)/' preload/*.[ch]
} || true)
[ -z "$arrows" ] || echo "$arrows"
report "arrows run one way" "$([ -z "$arrows" ]; echo $?)"

openssl=$(grep -lE '#include <openssl/' "${c_files[@]}" | grep -v '^core/crypto.h$')
[ -z "$openssl" ] || echo "$openssl"
report "only core/crypto.h includes OpenSSL" "$([ -z "$openssl" ]; echo $?)"

multibuffer=$(grep -lE '#include <intel-ipsec-mb' "${c_files[@]}" | grep -v '^core/lanes.c$')
[ -z "$multibuffer" ] || echo "$multibuffer"
report "only core/lanes.c includes libipsec-mb" "$([ -z "$multibuffer" ]; echo $?)"

exported() { nm -D --defined-only "$build/$1" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort; }
differences=$(diff <(tr ' ' '\n' <preload/hooks.txt | sort) <(exported preload/libsaveseal-preload.so))
[ -z "$differences" ] || echo "$differences"
report "the preload library exports the hooks of preload/hooks.txt, and nothing else" "$([ -z "$differences" ]; echo $?)"

declared() { grep -v '^#' core/library/saveseal.h | tr '\n' ' ' | grep -oE 'SAVESEAL_API [^;]*\(' | sed -E 's/\(.*//; s/.*[ *]//' | sort; }
differences=$(diff <(declared) <(exported core/library/libsaveseal.so))
[ -z "$differences" ] || echo "$differences"
report "the library exports what saveseal.h declares, and nothing else" "$([ -z "$differences" ]; echo $?)"

loud=$(grep -nE '\b(printf|puts|perror|exit|abort|err|errx)\(' core/*.c core/*/*.c | grep -vE 'snprintf|_exit')
[ -z "$loud" ] || echo "$loud"
report "core neither prints nor exits" "$([ -z "$loud" ]; echo $?)"

# Functions of several versions need a line in real.c: it says why.
libc=$(ldconfig -p | awk '$1 == "libc.so.6" && /x86-64/ {print $NF; exit}')
old=$(objdump -T "${libc:-/nonexistent}" 2>/dev/null | awk '
    FILENAME != "-" { while (match($0, /X\([a-z0-9_]+\)/)) { used[substr($0, RSTART + 2, RLENGTH - 3)]; $0 = substr($0, RSTART + RLENGTH) } next }
    NF < 2 { next }
    $(NF - 1) ~ /^GLIBC_[0-9.]+$/ { newest[$NF] = $(NF - 1) }
    $(NF - 1) ~ /^\(GLIBC_/ { several[$NF] }
    END { for (name in several) if (name in used && name in newest) print "{\"" name "\", \"" newest[name] "\"}" }' preload/real.h - |
    while read -r line; do grep -qF "$line" preload/real.c || echo "preload/real.c lacks $line"; done)
[ -z "$old" ] || echo "$old"
report "real functions are looked up in their newest version" "$([ -z "$old" ]; echo $?)"

clang-format --dry-run --Werror "${c_files[@]}"
report "clang-format" $?

shellcheck -x "${shell_files[@]}"
report "shellcheck" $?

mapfile -t units < <(find core fuse preload tools -name '*.c' | sort)
printf '%s\n' "${units[@]}" | xargs -P 2 -n 4 clang-tidy --quiet -p "$build" 2>/tmp/saveseal-tidy.$$
status=$?
grep -vE '^[0-9]+ warnings? (generated|treated)|^Suppressed|^Use -header' /tmp/saveseal-tidy.$$
rm -f /tmp/saveseal-tidy.$$
report "clang-tidy" $status

exit $failed
