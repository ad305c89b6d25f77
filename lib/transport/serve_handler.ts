/** Facts about the peer that sent a request. */
export interface ServeInfo {
  /**
   * CID of the peer, by the kernel's word; 3 is the parent, as an enclave sees it. On TCP and unix sockets
   * `developmentCid`, and undefined unless that is given.
   */
  readonly remoteCid: number | undefined;
  /** Port of the peer on vsock. */
  readonly remotePort: number | undefined;
}

/** Answers a request. The signal of the request aborts when the peer goes away before the answer is sent. */
export type ServeHandler = (request: Request, info: ServeInfo) => Response | Promise<Response>;
