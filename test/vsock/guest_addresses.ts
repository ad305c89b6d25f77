import { KMS_PROXY_PORT, PARENT_CID, type VsockEndpoint } from "../../lib/core/endpoint.ts";
import { ANY_CID } from "../../lib/transport/listen.ts";

/** The guest's own CID: the one that an enclave calls its parent, so that its way out loops back. */
export const GUEST_CID = PARENT_CID;

/** From whom the guest's own connections come, whatever CID they go to: vsock_loopback says so. */
export const LOOPBACK_CID = 1;

/** Address of the proxy to KMS. */
export const PARENT: VsockEndpoint = { transport: "vsock", cid: ANY_CID, port: KMS_PROXY_PORT };

/** Addresses of the guest for servers that a relay leads to: over vsock it leads no name to 127.0.0.0/8. */
export const KMS_HOST = "10.99.0.1";
export const SERVICES_HOST = "10.99.0.2";
