#!/bin/sh
# Builds the emulator that has Nitro Enclaves' machine (`-M nitro-enclave`, with an NSM), and prints its folder.
# Debian's own packages leave the machine out, since they are built without libcbor; the source is Debian's, and apt
# checks its signature and hashes. Nothing is built when the cache has what this very script made.
#
# Needs Debian 12 or later on x86-64; and root, for the packages that it builds with. What the build needs and
# Debian 12 does not have in this version (meson) is unpacked and not installed.
set -eu

suite=trixie
packages="dpkg-dev flex bison gcc libc6-dev ninja-build pkg-config python3 python3-venv libcbor-dev libfdt-dev
  libglib2.0-dev libgnutls28-dev libpixman-1-dev xz-utils zlib1g-dev"

cache=${XDG_CACHE_HOME:-$HOME/.cache}/enclave-kms
place=$cache/qemu-$(sha256sum "$0" | cut -c1-16)

works() { "$place/qemu-system-x86_64" -M help 2>/dev/null | grep -q '^nitro-enclave '; }

if works; then
  echo "$place"
  exit
fi

say() { echo "$*" >&2; }

install_packages() {
  missing=
  for package in $packages; do
    dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
      missing="$missing $package"
  done
  [ -n "$missing" ] || return 0
  say "installing$missing: the emulator is built with them"
  if [ "$(id -u)" != 0 ]; then
    say "Cannot install: run 'apt-get install$missing' as root first"
    exit 1
  fi
  apt-get -qq update >&2
  # shellcheck disable=SC2086 # a list of words
  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 -qq install -y --no-install-recommends $missing >&2
}

# Sets apt up beside the machine's own: another release, from the mirror that this machine uses.
prepare_apt() {
  mkdir -p "$work/apt/lists/partial" "$work/apt/archives/partial" "$work/apt/none"
  touch "$work/apt/status"
  # shellcheck disable=SC2016 # apt replaces it
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m 1 '/debian/$' || true)
  from="[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror:-http://deb.debian.org/debian/} $suite main"
  printf 'deb %s\ndeb-src %s\n' "$from" "$from" >"$work/apt/sources.list"
  cat >"$work/apt/apt.conf" <<EOF
Dir::State "$work/apt";
Dir::State::status "$work/apt/status";
Dir::Cache "$work/apt";
Dir::Etc::sourcelist "$work/apt/sources.list";
Dir::Etc::sourceparts "$work/apt/none";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "$work/apt/none";
APT::Sandbox::User "$(id -un)";
Acquire::Retries "3";
EOF
}

beside() { APT_CONFIG="$work/apt/apt.conf" "$@"; }

fetch() {
  say "downloading QEMU's source from Debian $suite"
  prepare_apt
  beside apt-get -qq update >&2
  cd "$work"
  beside apt-get -qq source qemu >&2
  beside apt-get -qq download seabios qemu-system-data meson python3-distlib python3-packaging >&2
  for file in ./*.deb; do dpkg-deb -x "$file" unpacked; done
}

# Only what the machine is made of: everything else would take most of an hour.
configure_build() {
  cd "$work"/qemu-*/ || return 1
  # Errors end this function by themselves here, since its caller looks at its status.
  cat >configs/devices/x86_64-softmmu/enclave.mak <<EOF || return 1
CONFIG_NITRO_ENCLAVE=y
CONFIG_MICROVM=y
CONFIG_VIRTIO_MMIO=y
CONFIG_VIRTIO_NSM=y
CONFIG_VHOST_USER_VSOCK=y
EOF
  export PYTHONPATH="$work/unpacked/usr/lib/python3/dist-packages"
  export PATH="$work/unpacked/usr/bin:$PATH" PYTHONDONTWRITEBYTECODE=1
  # meson's own script names the system's Python and its packages.
  ./configure --target-list=x86_64-softmmu --python=/usr/bin/python3 --without-default-features \
    --without-default-devices --with-devices-x86_64=enclave --enable-system --enable-tcg --enable-fdt=system \
    --enable-gnutls --enable-libcbor --enable-vhost-user --enable-pixman --disable-install-blobs --disable-docs \
    --disable-debug-info --disable-werror
}

# Prints the end of what was not worth showing.
show_log() {
  tail -n 60 "$work/log" >&2
  say "Cannot build QEMU"
  exit 1
}

# All at once: a shell reads a script while it runs.
main() {
  install_packages
  mkdir -p "$cache"
  chmod 700 "$cache"
  # Of builds that were killed.
  find "$cache" -maxdepth 1 -name 'build-*' -mmin +120 -exec rm -rf {} +
  work=$(mktemp -d "$cache/build-XXXXXX")
  trap 'rm -rf "$work"' EXIT
  trap 'exit 1' HUP INT TERM
  fetch
  say "building QEMU, which takes some minutes"
  (configure_build && ninja -C build qemu-system-x86_64) >"$work/log" 2>&1 || show_log

  made=$work/made
  mkdir "$made"
  cp "$work"/qemu-*/build/qemu-system-x86_64 "$work/unpacked/usr/share/seabios/bios-microvm.bin" \
    "$work/unpacked/usr/share/qemu/linuxboot_dma.bin" "$work/unpacked/usr/share/qemu/pvh.bin" "$made"
  rm -rf "$place"
  mv "$made" "$place"
  if ! works; then
    say "Cannot use the emulator that was built: it has no machine nitro-enclave"
    exit 1
  fi
  echo "$place"
}

main
