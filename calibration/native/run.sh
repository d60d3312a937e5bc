#!/bin/sh
# Measures this host by protocol.plan: sh run.sh [OUTPUT] [cpu=N]. Needs make and a C compiler (cc, or $CC); no root.
# about.sh and protocol.plan beside it come from `numasim measure --emit`; what it writes is a file that numasim reads.
set -eu

output=${1:-host.jsonl} cpu=${2:-}
case $output in
/*) ;;
*) output=$PWD/$output ;;
esac
cd "$(dirname "$0")"
. ./about.sh # rounds, and pieces of JSON: about, made_by, protocol
make CC="${CC:-cc}" >&2
part=$output.part
trap 'rm -f "$part" plan complaint' EXIT
trap 'exit 130' INT TERM

told() { # over the last, on a terminal
    if [ -t 2 ]; then
        printf '\r\033[K%.75s' "$1" >&2
    fi
}

harmless() { # a text that can stand between the quotes of JSON
    tr -d '"\\\t\n'
}

./numasim-native plan protocol.plan $cpu >plan
total=$((rounds * $(grep -c '^run ' plan || true)))
compiler=$(${CC:-cc} --version 2>/dev/null | head -n 1 | harmless)
made_by="$made_by, \"compiler\": \"$compiler\""
label=$(uname -n | harmless)
begun=$(date -u +%Y-%m-%dT%H:%M:%SZ)
host=$(./numasim-native host)
printf '{"begin": {%s, "made_by": {%s}, "protocol": {%s}, "label": "%s", "begun": "%s", "host": %s}}\n' \
    "$about" "$made_by" "$protocol" "$label" "$begun" "$host" >"$part"

round=0 done=0
while [ $round -lt "$rounds" ]; do
    while read -r verb words; do
        if [ "$verb" = run ]; then
            told "$done/$total $words"
            # the words are to be split: they are names, numbers and lists
            if line=$(./numasim-native $words 2>complaint </dev/null); then
                printf '{"round": %d, %s\n' $round "${line#\{}" >>"$part"
            else
                why=$(tail -n 1 complaint | harmless)
                why=${why#numasim-native: }
                printf '{"skip": "%s", "why": "%s"}\n' "$words" "${why:-it ended without a word}" >>"$part"
            fi
            done=$((done + 1))
        elif [ $round -eq 0 ]; then
            printf '{"skip": "%s", "why": "%s"}\n' "${words%% # *}" "${words#* # }" >>"$part"
        fi
    done <plan
    round=$((round + 1))
done
printf '{"end": %s}\n' "$(./numasim-native host)" >>"$part"
mv "$part" "$output"
told ""
echo "$output is written" >&2
