#!/bin/sh
# Start the services of this image by their init scripts, in the order given; on the stop signal stop them the other
# way round and end. The same command for a container, a machine without systemd and the bare host.

stop() {
  kill "$!" 2>/dev/null
  for service in $reverse; do "/etc/init.d/$service" stop; done
  exit 0
}

reverse=
trap stop TERM INT
for service in "$@"; do
  "/etc/init.d/$service" start || exit 1
  reverse="$service $reverse"
done
while :; do
  sleep 86400 &
  wait "$!"
done
