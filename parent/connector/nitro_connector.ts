import { checkFields, checkInteger } from "../../lib/core/checks.ts";
import { DEFAULT_ENCLAVE_CID, ENCLAVE_CIDS } from "../../lib/transport/enclave_ports.ts";
import { vsockToConnect } from "../../lib/transport/vsock_place.ts";
import type { ConnectorOptions } from "./enclave_connector.ts";
import { CONNECTOR_FIELDS, HttpConnector } from "./http_connector.ts";

/** Vsock port of an application's HTTP, unless another one is set. */
export const DEFAULT_VSOCK_PORT = 8080;

/** Address and limits of a {@link NitroConnector}; all have defaults. */
export interface NitroConnectorOptions extends ConnectorOptions {
  /** CID of the enclave, 4 to 2^32 - 2. Default: 16. */
  readonly enclaveCid?: number | undefined;
  /** Vsock port of the application, 1 to 2^32 - 2. Default: 8080. */
  readonly vsockPort?: number | undefined;
  /** Folder in which unix sockets stand for vsock, on a laptop. Default: vsock itself. */
  readonly simulationFolder?: string | undefined;
}

/**
 * Connector to an enclave of this instance, over vsock.
 *
 * On Deno it needs `--unstable-vsock` and `--allow-net=vsock:-1:<port>`; on Node koffi, which is installed with this
 * package.
 */
export class NitroConnector extends HttpConnector {
  /**
   * Connects to nothing yet.
   *
   * @param options Address and limits
   * @throws {TypeError} When an option is unknown or of a wrong type
   * @throws {RangeError} When a number is out of range
   */
  constructor(options: NitroConnectorOptions = {}) {
    const { enclaveCid, vsockPort, simulationFolder, ...limits } = checkFields("connector options", options, [
      "enclaveCid",
      "vsockPort",
      "simulationFolder",
      ...CONNECTOR_FIELDS,
    ]);
    const cid = checkInteger("enclaveCid", enclaveCid, { ...ENCLAVE_CIDS, default: DEFAULT_ENCLAVE_CID });
    const range = { min: 1, max: 0xffff_fffe };
    const port = checkInteger("vsockPort", vsockPort, { ...range, default: DEFAULT_VSOCK_PORT });
    super(vsockToConnect(cid, port, simulationFolder), limits);
  }
}
