#!/bin/busybox sh
# Answer SSH at the port of the guest's settings, with vmvc's own key: every command becomes a request (request_ssh.sh).
read -r port </vmvc/ssh/port
/vmvc/ssh/dropbear -F -E -s -j -k -P '' -p "$port" -r /vmvc/ssh/host -c /vmvc/ssh-request 2>/vmvc/ssh/log
echo "vmvc: the SSH server at port $port ended: $(tail -n 1 /vmvc/ssh/log)" >/dev/console
