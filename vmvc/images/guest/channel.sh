#!/bin/busybox sh
# Serve commands over the virtio serial port vmvc.init.0, or over the serial port that is the argument. Each line is a
# request that runs at once beside the others:
#   to the guest:   ID TIMEOUT_SECONDS STDIN_BASE64_or_- ARGUMENT_BASE64...     (an empty argument is =)
#   from the guest: ID RETURNCODE STDOUT_BASE64_or_- STDERR_BASE64_or_-         (127 not found, 124 timed out)
# A serial port loses what comes before it is open, so there the line "open" says that it is.
# The line "stop" stops the command. Empty lines are skipped: the host sends one first, which ends what was cut off.

find_port() {
  for name in /sys/class/virtio-ports/*/name; do
    [ -e "$name" ] || continue
    read -r label <"$name"
    if [ "$label" = vmvc.init.0 ]; then
      port=${name#/sys/class/virtio-ports/}
      port=/dev/${port%%/*}
      [ -e "$port" ] && return
    fi
  done
  return 1
}

if [ -n "$1" ]; then
  port=$1
else
  tries=0
  until find_port; do
    tries=$((tries + 1))
    [ "$tries" -lt 250 ] || exit 0
    usleep 20000
  done
fi

mkdir -p /vmvc/requests
mkfifo /vmvc/answers
exec 3<>"$port" 4<>/vmvc/answers
if [ -n "$1" ]; then
  stty 115200 raw -echo <&3
  echo open >&3
fi

# One writer, so that answers do not mix.
while read -r answer <&4; do
  cat "$answer" >&3
  rm "$answer"
done &

# The port reads as ended while nobody is connected on the host's side.
life=0
while :; do
  life=$((life + 1))
  awk -v at="/vmvc/requests/$life-" '
    $0 == "" { next }
    $0 == "stop" { system("kill -USR1 1"); next }
    { file = at NR; print > file; close(file); system("/vmvc/request " file " &") }
  ' <&3
  usleep 250000
done
