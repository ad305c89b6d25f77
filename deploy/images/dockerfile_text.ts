/** Text of a Dockerfile for an enclave's image, with `{{NAME}}` where an application differs. */
export const DOCKERFILE: string =
  `# Image of an enclave (EIF) for {{ENTRY}}, with its measurements. Written by \`enclave-kms image dockerfile\`.
#
#   docker build -f FILE -t enclave --build-arg NODE_DIGEST=sha256:… \\
#     --build-arg AMAZON_LINUX_DIGEST=sha256:… --build-arg NITRO_CLI_VERSION=1.4… --build-arg BLOBS_SHA256=… .
#   docker build … --output build .          # image.eif, pcr-values.json and build-summary.json
#   docker build … --target application .    # what \`nitro-cli build-enclave\` takes, with the same settings
#
# Whoever builds with the same arguments gets the same PCR0: bases by digest, packages by the lock file, AWS's kernel and
# init by their hash, which the build prints. Digests are looked up once, and kept:
#   docker buildx imagetools inspect NAME:TAG --format '{{.Manifest.Digest}}'
#
# Settings. Each is part of the image, and so of PCR0; an empty one counts as not set. No secret belongs here: they arrive
# when the enclave has started.
#
{{TABLE}}

{{DIGESTS}}
ARG AMAZON_LINUX_DIGEST

# nitro-cli, with the kernel, the init and the driver that it puts into images.
FROM public.ecr.aws/amazonlinux/amazonlinux:2023@\${AMAZON_LINUX_DIGEST} AS nitro
ARG NITRO_CLI_VERSION
RUN dnf install -y --setopt=install_weak_deps=False \\
      "aws-nitro-enclaves-cli-\${NITRO_CLI_VERSION:?must be given with --build-arg}" \\
      "aws-nitro-enclaves-cli-devel-\${NITRO_CLI_VERSION}"

FROM docker.io/library/node:24.21.0-bookworm-slim@\${NODE_DIGEST} AS sources
WORKDIR /src
COPY . .
RUN npm ci --ignore-scripts --no-audit --no-fund
ARG ARCHITECTURE=x86_64
RUN {{CLI}} bundle --entry {{ENTRY}} --runtime {{RUNTIME}} --architecture "$ARCHITECTURE" --out /bundle && \\
    node {{ENTRY}} --print-config-schema > /config.schema.json

FROM {{BASE}} AS application
WORKDIR /app
COPY --from=sources /bundle /app
{{COPIES}}{{ARGS}}
{{REQUIRED}}{{ENV}}CMD {{COMMAND}}

FROM application AS image
WORKDIR /image
COPY --from=sources /src /src
COPY --from=sources /bundle /bundle
COPY --from=sources /config.schema.json /image/config.schema.json
COPY --from=nitro /usr/share/nitro_enclaves/blobs /usr/share/nitro_enclaves/blobs
ARG BLOBS_SHA256
RUN cd /usr/share/nitro_enclaves/blobs && \\
    find -L . -type f | LC_ALL=C sort | xargs sha256sum > /tmp/blobs && \\
    cat /tmp/blobs && sha256sum /tmp/blobs && \\
    echo "\${BLOBS_SHA256:?must be given with --build-arg: the last hash above}  /tmp/blobs" | sha256sum -c
ARG COMMIT=
RUN {{CLI_OF_IMAGE}} image init --bundle /bundle --runtime-binary {{BINARY}} \\
      --schema config.schema.json \\
{{FLAGS}}      --out image.json && \\
    {{CLI_OF_IMAGE}} image build --manifest image.json --commit "$COMMIT" --out /out

FROM scratch
COPY --from=image /out /
`;
