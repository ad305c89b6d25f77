#!/bin/sh
# Ends what run-enclave.sh has started, in good order: `enclave-kms stop` with the same folder. Without a parent it ends the
# enclave that one has left. Arguments are passed on: `stop-enclave.sh --config parent.json --timeout-ms 90000`.
set -u

export STATE_FOLDER="${STATE_FOLDER:-/var/lib/enclave-kms}"
exec enclave-kms stop "$@"
