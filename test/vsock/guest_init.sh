#!/bin/busybox sh
# The guest's first process: loads modules, lays a writable tmpfs over the host's read-only root, and then
# runs what the host sends, one command a line: a token, a space, a command line. Everything a command prints
# goes back over the same port, and after it a line of the token and the exit code.
set -e
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
# Quiet: every line on the emulated serial console costs a millisecond.
while read -r module; do insmod "/modules/$module.ko"; done </modules/order

mkdir -p /host /over /root
mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=1048576 host /host
mount -t tmpfs over /over
mkdir /over/upper /over/work
mount -t overlay -o lowerdir=/host,upperdir=/over/upper,workdir=/over/work,xino=off root /root
mount -t proc proc /root/proc
mount -t sysfs sys /root/sys
mount -t devtmpfs dev /root/dev
mkdir -p /root/dev/shm /root/dev/pts
mount -t tmpfs shm /root/dev/shm
mount -t devpts pts /root/dev/pts
for link in "fd /proc/self/fd" "stdin fd/0" "stdout fd/1" "stderr fd/2"; do
  set -- $link
  [ -e "/root/dev/$1" ] || ln -s "$2" "/root/dev/$1"
done
ifconfig lo 127.0.0.1 up
# For servers behind a relay: guest_addresses.ts names them.
ifconfig lo:1 10.99.0.1 netmask 255.255.255.255 up
ifconfig lo:2 10.99.0.2 netmask 255.255.255.255 up

set +e
for port in /sys/class/virtio-ports/*; do
  [ "$(cat "$port/name")" = commands ] && exec 3<>"/dev/${port##*/}"
done
echo ready >&3
while read -r token command <&3; do
  chroot /root /bin/sh -c "$command" </dev/null >&3 2>&1 3>&-
  echo "$token $?" >&3
done
poweroff -f
