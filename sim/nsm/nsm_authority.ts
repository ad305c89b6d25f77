import { type Identity, issueCertificate, type Name } from "../tls/certificates.ts";
import type { Bytes } from "../tls/der.ts";

/** Lifetime of a simulated module's certificate, in milliseconds: three hours, as in AWS. */
export const LEAF_LIFETIME_MS = 3 * 3_600_000;

/** The certificates above attestation documents: root, region, zone, instance, as AWS has them. */
export class NsmAuthority {
  /** Root certificate, DER. A verifier must pin it instead of AWS's. */
  readonly root: Bytes;
  /** The certificates above a module's own, DER, the root first. */
  readonly cabundle: readonly Bytes[];
  readonly #instance: Identity;

  private constructor(chain: readonly Bytes[], root: Bytes, instance: Identity) {
    this.root = root;
    this.cabundle = chain;
    this.#instance = instance;
  }

  /**
   * @param region In the names of the certificates
   * @param instanceId Such as `i-0123456789abcdef0`
   * @param now Milliseconds since 1970
   * @returns A fresh authority, valid from a year ago for a year to come
   */
  static async create(region: string, instanceId: string, now: number): Promise<NsmAuthority> {
    const names = [
      "aws.nitro-enclaves",
      `sim.${region}.aws.nitro-enclaves`,
      `sim.zonal.${region}.aws.nitro-enclaves`,
      `${instanceId}.${region}.aws.nitro-enclaves`,
    ];
    const issued: Identity[] = [];
    for (const [i, commonName] of names.entries()) {
      const request = {
        subject: amazon(commonName),
        curve: "P-384",
        notBefore: now - YEAR_MS,
        notAfter: now + YEAR_MS,
        pathLength: i === 0 ? Infinity : names.length - 1 - i,
      } as const;
      issued.push(await issueCertificate(request, issued.at(-1)));
    }
    return NsmAuthority.#of(issued);
  }

  /**
   * Makes the certificate of one module, living {@link LEAF_LIFETIME_MS}.
   *
   * @param moduleId Such as `i-0123456789abcdef0-enc0123456789abcdef`
   * @param notBefore Start of its validity, milliseconds since 1970
   */
  issueLeaf(moduleId: string, notBefore: number): Promise<Identity> {
    return issueCertificate({
      subject: amazon(`${moduleId}.aws`),
      curve: "P-384",
      notBefore,
      notAfter: notBefore + LEAF_LIFETIME_MS,
    }, this.#instance);
  }

  static #of(issued: readonly Identity[]): NsmAuthority {
    const [root, instance] = [issued[0], issued.at(-1)];
    if (root === undefined || instance === undefined) throw new Error("Cannot make attestation certificates");
    return new NsmAuthority(issued.map(({ certificate }) => certificate), root.certificate, instance);
  }
}

const YEAR_MS = 365 * 86_400_000;

function amazon(commonName: string): Name {
  return [["C", "US"], ["O", "Amazon"], ["OU", "AWS"], ["CN", commonName]];
}
