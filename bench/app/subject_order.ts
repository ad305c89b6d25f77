/**
 * Applications that are measured. `bare` is the base line, `kept` the same with the runtime's own `Request` and `Response`
 * in place, and the others are the base with one thing more each.
 */
export const SUBJECTS = ["bare", "kept", "app", "log", "gate", "jwt", "tls", "sealed"] as const;

/** Name of an application. */
export type SubjectName = typeof SUBJECTS[number];

/** Order that the process of an application reads. */
export interface SubjectOrder {
  readonly name: SubjectName;
  /** Folder for a policy and a configuration. */
  readonly folder: string;
}

/** Place of the application, and the header that its requests bring. */
export interface SubjectPlace {
  readonly port: number;
  readonly authorization: string;
  /** Register 0 of the enclave, hex, and the root of its documents, base64: what a sealed request is sealed by. */
  readonly pcr0: string;
  readonly root: string;
}

/** Path of the route. */
export const PATH = "/v1/orders/7";
