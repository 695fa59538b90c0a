#!/bin/busybox sh
# Become a command in the root file system, with the guest's environment, user and folder.
. /vmvc/config

# Busybox would run its own command of that name instead of the root's: look the program up, as execvp does.
program=$1
shift
case $program in
  */*) ;;
  *)
    set -f
    IFS=:
    for place in $search; do
      if [ -x "$root$place/$program" ] || [ -L "$root$place/$program" ]; then
        program=$place/$program
        break
      fi
    done
    ;;
esac
case $program in
  */*) ;;
  *)
    echo "vmvc: there is no program '$program' in $search" >&2
    exit 127
    ;;
esac
. /vmvc/run-as
