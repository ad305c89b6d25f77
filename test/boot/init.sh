#!/bin/busybox sh
# shellcheck shell=dash
# The enclave's first process for the test, in place of AWS's: loads Debian's modules, runs the application as AWS's
# init would, from /rootfs with /cmd and /env, and beside it a program that looks at the enclave from inside.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
while read -r module; do insmod "/modules/$module.ko"; done </modules/order
ifconfig lo 127.0.0.1 up

mount -t devtmpfs dev /rootfs/dev
mount -t proc proc /rootfs/proc
mount -t sysfs sys /rootfs/sys
for link in "fd /proc/self/fd" "stdin fd/0" "stdout fd/1" "stderr fd/2"; do
  # shellcheck disable=SC2086 # two words
  set -- $link
  [ -e "/rootfs/dev/$1" ] || ln -s "$2" "/rootfs/dev/$1"
done

# Runs, in /rootfs and with the image's environment, the command whose words are the lines of a file.
run_in_root() (
  command=$1
  set --
  while read -r word || [ -n "$word" ]; do set -- "$@" "$word"; done <"$command"
  set -- chroot /rootfs "$@"
  while read -r setting || [ -n "$setting" ]; do set -- "$setting" "$@"; done </env
  exec env -i "$@"
)

{
  run_in_root /cmd </dev/null
  echo "check: the application ended with $?"
  poweroff -f
} &
# Whoever looks on does not slow the application down.
renice -n 19 -p $$
mkdir /rootfs/check
mount --bind /check/program /rootfs/check
run_in_root /check/cmd </dev/null
echo "check: exit code $?"
poweroff -f
