import { checkFields } from "../../lib/core/checks.ts";
import { checkEndpoint } from "../../lib/core/endpoint.ts";
import type { ConnectorOptions } from "./enclave_connector.ts";
import { CONNECTOR_FIELDS, HttpConnector } from "./http_connector.ts";

/** Host of an application in a simulation, unless another one is set. */
export const DEFAULT_ENCLAVE_HOST = "127.0.0.1";

/** TCP port of an application in a simulation, unless another one is set. */
export const DEFAULT_ENCLAVE_PORT = 8081;

/** Address and limits of a {@link SimulationConnector}; all have defaults. */
export interface SimulationConnectorOptions extends ConnectorOptions {
  /** Host name or address of the application. Default: `127.0.0.1`. */
  readonly host?: string | undefined;
  /** TCP port of the application, 1 to 65535. Default: 8081. */
  readonly port?: number | undefined;
}

/** Connector to an application that runs as a simulation, over HTTP on TCP. */
export class SimulationConnector extends HttpConnector {
  /**
   * Connects to nothing yet.
   *
   * @param options Address and limits
   * @throws {TypeError} When an option is unknown or of a wrong type
   * @throws {RangeError} When a number is out of range
   * @example
   * ```ts
   * import { EnclaveListener } from "enclave-kms/enclave";
   * import { SimulationConnector } from "enclave-kms/parent";
   *
   * const environment = { ENV_SETUP: "SIM", ENCLAVE_PORT: "0", ENCLAVE_KMS_LOG_LEVEL: "silent" };
   * await using listener = await EnclaveListener.start(({ body }) => ({ body: body.slice() }), { environment });
   * const port = listener.endpoint.transport === "tcp" ? listener.endpoint.port : 0;
   *
   * await using connector = new SimulationConnector({ port });
   * const answer = await connector.sendRequest({ path: "/echo", body: { hello: "enclave" } });
   * answer.json(); // { hello: "enclave" }
   * ```
   */
  constructor(options: SimulationConnectorOptions = {}) {
    const { host, port, ...limits } = checkFields("connector options", options, [
      "host",
      "port",
      ...CONNECTOR_FIELDS,
    ]);
    const address = {
      transport: "tcp",
      host: host ?? DEFAULT_ENCLAVE_HOST,
      port: port ?? DEFAULT_ENCLAVE_PORT,
    };
    super(checkEndpoint(address), limits);
  }
}
