/** Line on the console when the application has answered for the first time. */
export const HEALTHY_MARK = "check: healthy";

/** Beginning of the line on the console that has the report. */
export const REPORT_MARK = "check: report ";

/** Content of an attestation document that QEMU made: its signature is zeros, so no strict reader takes it. */
export interface ReportedDocument {
  /** Code of the error with which our own decoder refuses it. */
  readonly refusal: string | undefined;
  /** Registers in it, in hex. */
  readonly pcrs: Readonly<Record<string, string>>;
  /** Whether it has the nonce that was asked for. */
  readonly hasNonce: boolean;
  /** Whether its user data are the digest of the boot id and the keys in the answer. */
  readonly hasKeys: boolean;
}

/** Sight of an enclave from inside. */
export interface EnclaveReport {
  /** Answer of `/readyz`. */
  readonly ready: { readonly status: number; readonly body: Readonly<Record<string, unknown>> };
  /** Registers as the kernel's driver gives them, in hex, before anything was extended. */
  readonly pcrs: Readonly<Record<string, string>>;
  /** Registers that were locked then. */
  readonly lockedPcrs: readonly number[];
  /** Name of the module. */
  readonly moduleId: string;
  /** Hardware that the kernel drew from by itself. */
  readonly hardwareSource: string;
  /** Outcome of seeding the kernel while it draws from the module by itself, and while it does not. */
  readonly entropy: { readonly drawing: unknown; readonly alone: unknown; readonly available: number };
  /** Document that the application gave over vsock. */
  readonly attestation: ReportedDocument;
  /** PCR16 after it was extended by the text `boot`, and locked. */
  readonly extended: {
    readonly before: string;
    readonly after: string;
    readonly described: string;
    readonly locked: boolean;
    /** Code of the module's refusal to extend it again. */
    readonly refusal: unknown;
    /** PCR16 in a document of the module. */
    readonly inDocument: string | undefined;
  };
  /** Status of `POST /v1/orders/sign`, and whether the signature is one of the attested key. */
  readonly order: { readonly status: number; readonly isSigned: boolean };
  /** MiB of memory that are left. */
  readonly memoryLeftMib: number;
}
