#!/bin/sh
# Runs an enclave by `enclave-kms parent`, with the names of variables that such scripts have elsewhere, and looks after it:
# it ends with 1 as soon as nitro-cli does not list the enclave as RUNNING, so that whatever started it starts it again.
# Arguments are passed on: `run-enclave.sh --config parent.json`. SIGTERM, SIGINT and SIGHUP end the enclave in good order.
#
#   ENCLAVE_MEMORY_MB      memory in MiB, passed on as MEMORY_MIB
#   ENCLAVE_CPU_COUNT      CPUs, passed on as CPU_COUNT
#   ENCLAVE_CID, EIF_PATH  and all other variables of docs/running-the-parent.md are passed on as they are
#   HEALTH_CHECK_INTERVAL  seconds between two looks at the state, 1 to 99999. Default: 10
#   STATE_FOLDER           folder for the state and the console. Default: /var/lib/enclave-kms
set -u

say() {
  printf 'run-enclave: %s\n' "$*" >&2
}

# From here on a signal ends all of it in good order, however early it comes: as the first process of a container sh would
# not even end by it, and launch the enclave all the same.
parent=
stopping=
interrupted=
trap 'stopping=yes; interrupted=yes; [ -z "$parent" ] || kill -TERM "$parent" 2>/dev/null' TERM INT HUP

# Gives the value of one variable to another, which must not say something else.
pass_on() {
  eval "here=\${$1:-} there=\${$2:-}"
  [ -n "$here" ] || return 0
  if [ -n "$there" ] && [ "$there" != "$here" ]; then
    say "$1 and $2 are the same setting, and must not differ"
    exit 1
  fi
  eval "export $2=\$here"
}

pass_on ENCLAVE_MEMORY_MB MEMORY_MIB
pass_on ENCLAVE_CPU_COUNT CPU_COUNT
export STATE_FOLDER="${STATE_FOLDER:-/var/lib/enclave-kms}"

interval=${HEALTH_CHECK_INTERVAL:-10}
case $interval in
  *[!0-9]* | 0* | ??????*)
    say "HEALTH_CHECK_INTERVAL must be a whole number of seconds, 1 to 99999"
    exit 1
    ;;
esac

# What is wrong with the settings is told here, before anything runs.
settings=$(enclave-kms parent --print-config "$@") || exit 1
[ -z "$stopping" ] || exit 0

console=
case $settings in
  *'"envSetup": "NITRO"'*'"debugMode": true'*)
    say "debug mode: the console follows. Its PCRs are zero, so that KMS refuses what a key policy with PCRs guards"
    (umask 077 && mkdir -p "$STATE_FOLDER")
    tail -n +1 -F "$STATE_FOLDER/console.log" >&2 2>/dev/null &
    console=$!
    ;;
  *)
    say "no console: the hypervisor has one in debug mode only (ENCLAVE_DEBUG_MODE=true), since whoever reads it reads" \
      "what the enclave writes"
    ;;
esac

enclave-kms parent "$@" &
parent=$!
[ -z "$stopping" ] || kill -TERM "$parent" 2>/dev/null

# Looks at the state again and again; it ends with 1, and the parent with it, when the enclave does not run. Without a
# parent there is nothing to look at: it has not begun yet, or its own code will tell.
watch() {
  pause=
  trap 'kill "$pause" 2>/dev/null; exit 0' TERM
  # A signal that comes before there is a trap for it may be lost: the watch ends with the parent in any case.
  while kill -0 "$parent" 2>/dev/null; do
    sleep "$interval" &
    pause=$!
    wait "$pause"
    state=$(enclave-kms parent --check running "$@" 2>&1)
    [ $? -eq 1 ] || continue
    # Its verdict counts, whatever ends first.
    trap '' TERM
    say "the enclave does not run, and is given up: $state"
    kill -TERM "$parent" 2>/dev/null
    exit 1
  done
  exit 0
}
watch "$@" &
watcher=$!

# A signal ends the wait, and not the parent. Whoever waits for one that was waited for already may be told 127.
code=127
while :; do
  interrupted=
  wait "$parent"
  end=$?
  [ "$end" -eq 127 ] || code=$end
  if [ -z "$interrupted" ] || [ "$end" -le 128 ]; then break; fi
done

kill -TERM "$watcher" 2>/dev/null
wait "$watcher" 2>/dev/null
verdict=$?
[ -z "$console" ] || kill "$console" 2>/dev/null
[ "$verdict" -eq 1 ] && exit 1
exit "$code"
