#!/bin/busybox sh
# For a script that reads this in: turn its arguments from base64 (an empty one is =) into what they say.
# Command substitution drops newlines at the end: the dot keeps them.
for word; do
  value=
  if [ "$word" != = ]; then
    value=$(printf %s "$word" | base64 -d; printf .)
    value=${value%.}
  fi
  set -- "$@" "$value"
  shift
done
