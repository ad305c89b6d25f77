#!/bin/sh
# Steps of a pipeline from a commit to an image that a key policy names: buildspec.yml runs them, and so does the workflow in
# deploy/github. One step is one argument, in this order:
#
#   check     refuses a pipeline without its variables, before it has built anything for half an hour
#   test      the tests
#   image     image.eif, pcr-values.json and build-summary.json, in build/
#   compare   measures the image again, and one of nitro-cli's, and compares with what nitro-cli says of both
#   gate      makes the key policy of this image and of those that run, and judges it: build/policy.json
#   push      images of enclave, runner and proxy
#   summary   digests and PCRs: build/summary.txt
#
# Nothing here puts a key policy: whoever may do so could let a stranger in, and this pipeline must not be able to.
# docs/rollout.md says who does it, and when.
set -eu
cd "$(dirname "$0")/../.."

# Of this repository; with the package: node node_modules/enclave-kms/cli.js
enclave_kms() {
  ${ENCLAVE_KMS:-node cli/main.ts} "$@"
}

COMMIT=${COMMIT:-${CODEBUILD_RESOLVED_SOURCE_VERSION:-$(git rev-parse HEAD)}}
IMAGE_TAG=${IMAGE_TAG:-$(printf %.12s "$COMMIT")}
DOCKERFILE=${DOCKERFILE:-deploy/images/Dockerfile.enclave}

need() {
  for name in "$@"; do
    eval "value=\${$name:-}"
    if [ -z "$value" ]; then
      echo "pipeline: $name must be set" >&2
      exit 1
    fi
  done
}

needs_digest() {
  for name in "$@"; do
    eval "value=\${$name:-}"
    hex=${value#sha256:}
    case $hex in
      "$value" | *[!0-9a-f]*) hex= ;;
    esac
    if [ "${#hex}" -ne 64 ]; then
      echo "pipeline: $name must be a digest, sha256: and 64 hex digits" >&2
      exit 1
    fi
  done
}

check() {
  needs_digest NODE_DIGEST AMAZON_LINUX_DIGEST
  need NITRO_CLI_VERSION BLOBS_SHA256 ROLE_ARN ADMINISTRATOR_ARN
  if [ ! -f "$DOCKERFILE" ]; then
    echo "pipeline: there is no $DOCKERFILE" >&2
    exit 1
  fi
  # Arguments without a default: digests of bases, and what the application does not start without.
  sed -n 's/^ARG \([A-Z][A-Z0-9_]*\)$/\1/p' "$DOCKERFILE" | sort -u | while read -r name; do
    case $name in
      *_DIGEST) needs_digest "$name" ;;
      *) need "$name" ;;
    esac
  done
  if [ "${1:-}" != up-to-the-gate ]; then
    need ECR_REGISTRY ECR_REPO_ENCLAVE ECR_REPO_PROXY ECR_REPO_RUNNER
  fi
  case $IMAGE_TAG in
    "" | *[!A-Za-z0-9_.-]* | latest)
      echo "pipeline: IMAGE_TAG must name the commit" >&2
      exit 1
      ;;
  esac
}

# Builds with the arguments that are set here, by their names in the Dockerfile: the settings of the image as well.
build() {
  file=$1
  shift
  arguments=$(sed -n 's/^ARG \([A-Z][A-Z0-9_]*\).*/\1/p' "$file" | sort -u)
  for name in $arguments; do
    eval "isset=\${$name+yes}"
    [ -z "${isset:-}" ] || set -- --build-arg "$name" "$@"
  done
  export COMMIT
  docker build --file "$file" "$@" .
}

image() {
  build "$DOCKERFILE" --tag "enclave:$IMAGE_TAG"
  build "$DOCKERFILE" --target application --tag "application:$IMAGE_TAG"
  build "$DOCKERFILE" --target nitro --tag "nitro:$IMAGE_TAG"
  mkdir -p build
  # An image that the gate has not passed has no policy.
  rm -f build/policy.json
  container=$(docker create "enclave:$IMAGE_TAG" none)
  for file in image.eif pcr-values.json build-summary.json; do
    docker cp "$container:/$file" "build/$file"
  done
  docker rm "$container" >/dev/null
}

# nitro-cli, which needs no enclave to build an image or to look into one.
nitro_cli() {
  docker run --rm --volume "$PWD/build:/build" --volume /var/run/docker.sock:/var/run/docker.sock \
    --env NITRO_CLI_ARTIFACTS=/build/artifacts "nitro:$IMAGE_TAG" nitro-cli "$@"
}

compare() {
  enclave_kms image verify build/image.eif --summary build/build-summary.json
  nitro_cli describe-eif --eif-path /build/image.eif >build/described.json
  enclave_kms image verify build/image.eif --summary build/described.json
  nitro_cli build-enclave --docker-uri "application:$IMAGE_TAG" --output-file /build/nitro.eif >build/nitro.json
  enclave_kms image verify build/nitro.eif --summary build/nitro.json
}

# Copies a file of S3, or of here.
fetch() {
  case $1 in
    s3://*) aws s3 cp --only-show-errors "$1" "$2" ;;
    *) cp "$1" "$2" ;;
  esac
}

gate() {
  set -- --summary build/build-summary.json
  running=
  if [ -n "${RUNNING_SUMMARY:-}" ]; then
    fetch "$RUNNING_SUMMARY" build/running-summary.json
    set -- "$@" --summary build/running-summary.json
    running=build/running-summary.json
  fi
  enclave_kms key-policy make "$@" --role "$ROLE_ARN" --administrator "$ADMINISTRATOR_ARN" >build/draft.json
  set -- --running build/build-summary.json
  [ -z "$running" ] || set -- "$@" --running "$running"
  enclave_kms key-policy gate build/draft.json --role "$ROLE_ARN" "$@"
  mv build/draft.json build/policy.json
  [ -n "${KEY_ID:-}" ] || return 0
  aws kms get-key-policy --key-id "$KEY_ID" --policy-name default --query Policy --output text >build/current.json
  enclave_kms key-policy diff --before build/current.json --after build/policy.json
}

# Pushes an image, and notes it by its digest.
push_one() {
  name=$ECR_REGISTRY/$2
  docker tag "$1" "$name:$IMAGE_TAG"
  docker push "$name:$IMAGE_TAG"
  docker inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$name:$IMAGE_TAG" |
    grep -F "$name@sha256:" >>build/digests.txt
}

push() {
  # Only what the gate has passed.
  test -s build/policy.json
  build deploy/images/Dockerfile.runner --tag "runner:$IMAGE_TAG"
  build deploy/images/Dockerfile.vsock-proxy --tag "vsock-proxy:$IMAGE_TAG"
  aws ecr get-login-password | docker login --username AWS --password-stdin "$ECR_REGISTRY"
  : >build/digests.txt
  push_one "enclave:$IMAGE_TAG" "$ECR_REPO_ENCLAVE"
  push_one "runner:$IMAGE_TAG" "$ECR_REPO_RUNNER"
  push_one "vsock-proxy:$IMAGE_TAG" "$ECR_REPO_PROXY"
}

# No pipe to tee: sh knows no pipefail, and the step would pass though the image could not be described.
summary() {
  rm -f build/summary.txt
  echo "commit $COMMIT" >build/summary.draft
  [ ! -s build/digests.txt ] || cat build/digests.txt >>build/summary.draft
  enclave_kms image describe build/image.eif >>build/summary.draft
  mv build/summary.draft build/summary.txt
  cat build/summary.txt
}

case ${1:-} in
  check) check "${2:-}" ;;
  test) npm test ;;
  image | compare | gate | push | summary) "$1" ;;
  *)
    echo "pipeline: expected check, test, image, compare, gate, push or summary" >&2
    exit 1
    ;;
esac
