#!/bin/busybox sh
# Run what a client of SSH asks for. The first line of its input says that; all after it is the command's own input.
#   MARK ARGUMENT_BASE64...    run it with VMVC_COMMAND=MARK in its environment    (an empty argument is =)
#   MARK                       end all that has the mark
# Without one, it only holds the connection.
# Other clients bring a command of their own, as people do: it is for the root file system's shell.
[ -z "$SSH_ORIGINAL_COMMAND" ] || exec /vmvc/enter sh -c "$SSH_ORIGINAL_COMMAND"

read -r request || exit 0
set -f
set -- $request
export mark="VMVC_COMMAND=$1"
shift
if [ $# = 0 ]; then
  set +f
  for one in /proc/[0-9]*; do
    if grep -qs "$mark" "$one/environ"; then kill -KILL "${one#/proc/}"; fi
  done
  exit
fi
. /vmvc/words
exec /vmvc/enter "$@"
