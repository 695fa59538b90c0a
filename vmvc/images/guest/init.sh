#!/bin/busybox sh
# Process 1 of a machine that boots straight into a command: it stays in the initramfs, the command is its child in
# a chroot of the root file system at /root. Its last words are "vmvc: command ended with N"; then the power goes off.

/bin/busybox mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
echo 'vmvc: init'
. /vmvc/modules
. /vmvc/config

load() {
  for module; do
    [ -e "/sys/module/$module" ] || insmod "/vmvc/$module.ko"
  done
}

some() { [ -e "$1" ]; }

# Load the drivers of the virtio devices that are there, of those kinds: 1 network, 2 disk, 3 serial, 4 random, 5 balloon,
# 8 disks of SCSI.
load_virtio() {
  for device in /sys/bus/virtio/devices/*/device; do
    [ -e "$device" ] || continue
    read -r kind <"$device"
    case " $1 " in
      *" $kind "*) case "$kind" in
        0x0001) load $virtio_net ;;
        0x0002) load $virtio_blk ;;
        0x0003) load $virtio_console ;;
        0x0004) load $virtio_rng ;;
        0x0005) load $virtio_balloon ;;
        0x0008) load $virtio_scsi $sd_mod ;;
      esac ;;
    esac
  done
}

# A fixed address: asking for one costs seconds. The announcement tells the host's side where to send what it holds.
network() {
  ifconfig lo 127.0.0.1 up
  [ -e /sys/class/net/eth0 ] || return
  ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
  route add default gw 10.0.2.2
  echo 'vmvc: network'
  arping -q -U -c 1 -I eth0 10.0.2.15 >/dev/null 2>&1 &
}

# The disk's driver may need a moment to show it.
root_disk() {
  tries=0
  while :; do
    for device in $root_devices; do
      [ ! -b "$device" ] || ! mount -t ext4 "$device" /root 2>/dev/null || return
    done
    tries=$((tries + 1))
    if [ "$tries" -gt 250 ]; then
      echo "vmvc: there is no root file system on any of $root_devices"
      power_off
    fi
    usleep 20000
  done
}

# What an engine puts into a container: names and addresses, where the image leaves them open.
settings() {
  hostname vmvc
  mkdir -p /root/etc
  [ -s /root/etc/hosts ] || printf '127.0.0.1 localhost vmvc\n' >/root/etc/hosts
  if [ ! -s /root/etc/resolv.conf ]; then
    rm -f /root/etc/resolv.conf
    printf 'nameserver 10.0.2.3\n' >/root/etc/resolv.conf
  fi
}

# What was printed waits in the serial port's buffer: setting what is set drains it.
drain() { stty onlcr </dev/console 2>/dev/null; }

power_off() {
  sync
  drain
  [ -z "$root_devices" ] || mount -o remount,ro /root 2>/dev/null
  # Where no ACPI can cut the power, a reset ends the machine: its monitor is told not to boot it again.
  if some /sys/firmware/acpi/*; then poweroff -f; else reboot -f; fi
  while :; do sleep 1; done
}

# The machine's power button; the first event of its input device is a press.
power_button() {
  load $evdev $button
  for name in /sys/class/input/event*/device/name; do
    [ -e "$name" ] || continue
    read -r label <"$name"
    [ "$label" = 'Power Button' ] || continue
    event=${name#/sys/class/input/}
    dd if="/dev/input/${event%%/*}" of=/dev/null bs=24 count=1 2>/dev/null && kill -USR1 1 &
  done
}

late() {
  power_button
  # Commands come one way: by SSH where the guest asks for that.
  if [ -e /vmvc/ssh ]; then
    load_virtio '0x0004 0x0005'
    exec /vmvc/ssh-serve
  fi
  # Where the machine has no virtio serial port, the kernel's arguments name another for commands.
  read -r arguments </proc/cmdline
  for argument in $arguments; do
    [ "$argument" != vmvc.channel=ttyS1 ] || exec /vmvc/channel /dev/ttyS1
  done
  load_virtio '0x0003 0x0004 0x0005'
  for device in /sys/bus/virtio/devices/*/device; do
    [ -e "$device" ] || continue
    read -r kind <"$device"
    if [ "$kind" = 0x0003 ]; then exec /vmvc/channel; fi
  done
}

some /sys/bus/pci/devices/* && load $virtio_pci
some /sys/bus/acpi/devices/LNRO0005* && load $virtio_mmio
load_virtio '0x0001 0x0002 0x0008'
network
[ -z "$root_devices" ] || root_disk
settings

if [ "$boot" = systemd ]; then
  load_virtio '0x0003 0x0004 0x0005'
  load $evdev $button
  mount -t tmpfs -o mode=755,nosuid,nodev tmpfs /root/run
  cp -a /vmvc/run/. /root/run/
  # The SSH server and its way into the root outlive this file system in a folder of their own: vmvc-ssh.service.
  if [ -e /vmvc/ssh ]; then
    rm -rf /vmvc/*.ko /vmvc/run
    mkdir -p /root/run/vmvc/room/proc /root/run/vmvc/room/sys /root/run/vmvc/room/dev /root/run/vmvc/room/run
    cp -a /bin /etc /lib /lib64 /vmvc /root/run/vmvc/room/
  fi
  umount /proc /sys
  mount --move /dev /root/dev
  exec switch_root /root /sbin/init
fi

mkdir -p /root/proc /root/sys /root/dev "/root$workdir"
mount -t proc proc /root/proc
mount -t sysfs sysfs /root/sys
mount -t devtmpfs devtmpfs /root/dev
cp -a /vmvc/dev/. /root/dev/
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /root/dev/pts
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs /root/dev/shm
[ "$uid" = 0 ] || chown "$uid" /dev/console

echo 'vmvc: exec'
setsid /vmvc/command </dev/null &
command=$!
trap 'stopped=1; kill -s "$stop_signal" "$command" 2>/dev/null' USR1
late &

# A trap ends `wait` early; the code is that of the wait which was left alone (127: it was the one before).
while :; do
  stopped=
  wait "$command"
  next=$?
  [ "$next" = 127 ] && [ -n "$code" ] || code=$next
  [ -n "$stopped" ] || break
done
# As in a container, nothing outlives the command.
kill -KILL -1
# A write that waits for room ends early when a child does, and those just killed still do.
drain
printf '\nvmvc: command ended with %s\n' "$code"
power_off
