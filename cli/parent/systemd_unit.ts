/** Parts of a systemd unit that depend on the installation. */
export interface UnitParts {
  /** Program and arguments that run the parent, each an absolute path or a plain word. */
  readonly command: readonly string[];
  /** Absolute path of the configuration. */
  readonly config: string;
}

/**
 * Makes a systemd unit for the parent.
 *
 * @param parts Command and configuration
 */
export function systemdUnit({ command, config }: UnitParts): string {
  return UNIT.replace("COMMAND", () => [...command, "parent", "--config", config].map(quote).join(" "));
}

const UNIT = `# /etc/systemd/system/enclave-kms-parent.service
# useradd --system --groups ne enclave-kms; then systemctl enable --now enclave-kms-parent
[Unit]
Description=The parent's half of a Nitro Enclave
Wants=network-online.target
After=network-online.target nitro-enclaves-allocator.service
Requires=nitro-enclaves-allocator.service

[Service]
Type=exec
User=enclave-kms
SupplementaryGroups=ne
ExecStart=COMMAND
Environment=STATE_FOLDER=/var/lib/enclave-kms
StateDirectory=enclave-kms
StateDirectoryMode=0700
UMask=0077
Restart=always
RestartSec=5
# SIGTERM goes to the parent alone, which drains the enclave; what is left after the time is killed,
# nitro-cli's own process of the enclave as well.
KillMode=mixed
TimeoutStopSec=90
LimitNOFILE=65536
LimitCORE=0

# nitro-cli needs its device, its sockets and its log.
DevicePolicy=closed
DeviceAllow=/dev/nitro_enclaves rw
DeviceAllow=/dev/vsock rw
ReadWritePaths=-/run/nitro_enclaves -/var/log/nitro_enclaves
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
ProtectProc=invisible
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_VSOCK
PrivateMounts=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
NoNewPrivileges=yes
RemoveIPC=yes
CapabilityBoundingSet=
AmbientCapabilities=
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
# Not MemoryDenyWriteExecute: the runtime compiles as it runs.

[Install]
WantedBy=multi-user.target
`;

/** Quotes a word as systemd reads it, and doubles what it would expand. */
function quote(word: string): string {
  const escaped = word.replaceAll("%", "%%").replaceAll("$", "$$$$");
  return /^[\w./:@%$+=-]+$/.test(escaped) ? escaped : `"${escaped.replaceAll(/["\\]/g, "\\$&")}"`;
}
