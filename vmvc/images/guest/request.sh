#!/bin/busybox sh
# Run one request of the channel, given as a file, and hand in its answer.
file=$1
set -f
set -- $(cat "$file")
id=$1 limit=$2 input=$3
shift 3

if [ "$input" = - ]; then
  : >"$file.in"
else
  printf %s "$input" | base64 -d >"$file.in"
fi

. /vmvc/words

setsid /vmvc/enter "$@" <"$file.in" >"$file.out" 2>"$file.err" 3<&- 4<&- &
command=$!
(
  trap 'kill "$nap"; exit' TERM
  sleep "$limit" &
  nap=$!
  wait "$nap"
  : >"$file.late"
  kill -KILL "-$command"
) 2>/dev/null &
watch=$!
wait "$command" 2>/dev/null
code=$?
kill "$watch" 2>/dev/null
[ ! -e "$file.late" ] || code=124

# One byte more than the host takes, so that it can tell; the rest stays here.
encoded() { if [ -s "$1" ]; then head -c 16777217 "$1" | base64 -w 0; else printf -; fi; }
{
  printf '%s %s ' "$id" "$code"
  encoded "$file.out"
  printf ' '
  encoded "$file.err"
  printf '\n'
} >"$file.answer"
rm -f "$file" "$file.in" "$file.out" "$file.err" "$file.late"
printf '%s\n' "$file.answer" >&4
