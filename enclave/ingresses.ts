import { checkFields } from "../lib/core/checks.ts";
import type { Bridge } from "../lib/transport/bridge.ts";
import { TlsEntrance, type TlsEntranceParts } from "./channels/tls_entrance.ts";
import type { TlsChannel } from "./channels/tls_channel.ts";
import { INGRESS_FIELDS, type IngressOptions, openIngressBy } from "./ingress.ts";
import { ConfigError } from "./settings.ts";

/** Ingress that an application declares: it opens with the application, and closes with it. */
export interface IngressDeclaration extends Omit<IngressOptions, "controlPort"> {
  /**
   * Whether TLS ends in the enclave before the server on 127.0.0.1, with the key and certificate of this boot: TLS 1.3,
   * and by ALPN `h2` or `http/1.1`. Default: false, and bytes pass untouched.
   */
  readonly tls?: boolean | undefined;
  /**
   * Clients that TLS lets in, where the settings name authorities: only those with a certificate of theirs, or those
   * without one, too. The server behind is not told who calls. Default: `required`.
   */
  readonly clientCertificates?: "required" | "optional" | undefined;
}

const FIELDS: readonly string[] = [
  ...INGRESS_FIELDS.filter((field) => field !== "controlPort"),
  "tls",
  "clientCertificates",
];

/** Most ingresses of one application. */
const MAX_INGRESSES = 64;

/**
 * Checks the declarations in their form. Ports are checked when they open.
 *
 * @param given Declarations as they were given. Default: none
 * @returns The declarations, copied
 * @throws {TypeError} When one is unknown or of a wrong type, or asks for certificates without TLS
 * @throws {RangeError} When there are more than 64
 */
export function checkIngresses(given: readonly IngressDeclaration[] = []): readonly IngressDeclaration[] {
  if (!Array.isArray(given)) throw new TypeError("ingresses must be a list");
  if (given.length > MAX_INGRESSES) throw new RangeError(`ingresses must be at most ${MAX_INGRESSES}`);
  return given.map((one: IngressDeclaration, index) => {
    const name = `ingresses[${index}]`;
    const { tls, clientCertificates, ...rest } = checkFields(name, one, FIELDS);
    if (tls !== undefined && typeof tls !== "boolean") throw new TypeError(`${name}.tls must be a boolean`);
    if (clientCertificates === undefined) return { ...rest, tls };
    if (clientCertificates !== "required" && clientCertificates !== "optional") {
      throw new TypeError(`${name}.clientCertificates must be "required" or "optional"`);
    }
    if (tls !== true) throw new TypeError(`${name}.clientCertificates is for TLS, which is off`);
    return { ...rest, tls, clientCertificates };
  });
}

/** Settings of an application that its ingresses go by. */
export interface IngressSettings {
  /** Vsock port of the control listener; 0 for none. */
  readonly controlPort: number;
  /** Folder of a simulation's sockets; undefined for vsock. */
  readonly simulationFolder: string | undefined;
}

/** Parts that ingresses with TLS need. */
export interface IngressesParts extends Pick<TlsEntranceParts, "log" | "developmentCid"> {
  /** TLS of this boot; undefined when no ingress needs it. */
  readonly tls: TlsChannel | undefined;
  /** Settings of the application. */
  readonly config: IngressSettings;
}

/**
 * Opens the ingresses of an application, in their order.
 *
 * @param declarations Declarations, checked
 * @param parts Parts of those with TLS
 * @param onOpen Called with each that is open, and owns it from then on
 * @throws {ConfigError} When one requires certificates, and the settings name no authorities
 * @throws {RangeError} When a number is out of range, or a port is the control port or one of 7100 to 7102
 * @throws {ConnectionError} When a vsock port is taken, or there is no vsock in this kernel
 * @throws {SystemCallError} When the loopback interface is down and cannot be raised
 */
export async function openIngresses(
  declarations: readonly IngressDeclaration[],
  { tls, config: { controlPort, simulationFolder }, ...parts }: IngressesParts,
  onOpen: (bridge: Bridge) => void,
): Promise<void> {
  for (const { tls: endsTls, clientCertificates, ...options } of declarations) {
    const entrance = endsTls === true && tls !== undefined
      ? new TlsEntrance({ ...parts, tls, requiresCertificate: isRequired(clientCertificates, tls) })
      : undefined;
    onOpen(await openIngressBy({ simulationFolder, ...options, controlPort }, entrance));
  }
}

function isRequired(choice: IngressDeclaration["clientCertificates"], tls: TlsChannel): boolean {
  if (choice === undefined) return tls.asksForCertificates;
  if (!tls.asksForCertificates) {
    throw new ConfigError(["clientAuthoritiesFile: is needed by an ingress with clientCertificates"]);
  }
  return choice === "required";
}
