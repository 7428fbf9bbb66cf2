#!/bin/bash
# The table of findings, and what errors of libvirt mean.
# shellcheck disable=SC2317
# shellcheck source=tests/lib/mount.sh
. "$(dirname "$0")/lib/mount.sh"

manual=$(dirname "$0")/../docs/man/saveseal.1.scd

# says STATUS ID COMMAND...: COMMAND's exit status, and the id that it prints.
says() {
    local wanted="$1 $2" status
    shift 2
    "$@" >"$work/out" 2>"$work/err"
    status=$?
    equal "$(tail -n 1 <<<"$*"): $wanted" "$status $(cut -d: -f1 "$work/out")" "$wanted"
}

"$SAVESEAL" errors --json >"$work/errors"
while IFS=' ' read -r id status; do
    check "the manual has $id ($status)" grep -qF "*$id* ($status)" "$manual"
done < <(sed 's/.*"finding":"\([^"]*\)".*"exit":\([0-9]\).*/\1 \2/' "$work/errors")
equal "and no other" "$(grep -cE '^\*[a-z-]+\* \([0-9]\)$' "$manual")" "$(($(wc -l <"$work/errors") - 1))" # clean is in a sentence
# The manual may say more of one, but not something else. A few have words of their own there.
own="writes-unseen closed-unpublished seal-invalid"
equal "the manual's sentences are these" "$(python3 - "$manual" "$work/errors" <<'PY'
import json, re, sys
manual = open(sys.argv[1], encoding="utf-8").read()
for row in map(json.loads, open(sys.argv[2], encoding="utf-8")):
    entry = re.search(r"^\*" + row["finding"] + r"\* \(\d\)\n((?:\t.*\n)+)", manual, re.M)
    words = " ".join(entry[1].replace("*", "").split()) if entry else ""
    if entry and not re.match(re.escape(row["sentence"]) + r"(\.|[,;:]| \()", words, re.I):
        print(row["finding"])
PY
)" "$(tr ' ' '\n' <<<"$own")"
equal "the text has as many" "$("$SAVESEAL" errors | grep -c '^[a-z]')" "$(wc -l <"$work/errors")"

# What virsh really prints. (Its driver for tests hangs now and then in a save that fails.)
for request in "restore $work/nothing" "start nothing" "dumpxml nothing" "checkpoint-dumpxml test nothing"; do
    # shellcheck disable=SC2086  # words
    LC_ALL=C timeout 20 virsh -c test:///default $request >/dev/null 2>"$work/virsh.${request%% *}"
done
classify() { "$SAVESEAL" classify <"$work/virsh.$1"; }
says 2 not-found classify restore
says 2 request-refused classify start
says 2 request-refused classify dumpxml
says 2 request-refused classify checkpoint-dumpxml

says 5 bitmap-missing "$SAVESEAL" classify --libvirt-code 109
says 1 format-incomplete "$SAVESEAL" classify --message "operation failed: save image is incomplete"
says 4 unclassified "$SAVESEAL" classify --libvirt-code 9
head -c 200000 /dev/zero >"$work/virsh.zeros"
says 4 unclassified classify zeros
says 4 unclassified "$SAVESEAL" classify --message ""
for wrong in "--libvirt-code x" "--libvirt-code -1" "--libvirt-code 99999999999999999999" "--message" "too many"; do
    # shellcheck disable=SC2086  # words
    says 2 "" "$SAVESEAL" classify $wrong
done
equal "JSON" "$("$SAVESEAL" classify --json --libvirt-code 87)" \
    '{"finding":"busy","class":"temporary","exit":3,"sentence":"something else is being done with it","advice":"wait until that has ended, then try again"}'
exit $failed
