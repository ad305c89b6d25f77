/**
 * Wire to a Nitro Secure Module: one CBOR request in, one CBOR answer out. In an enclave it is the
 * ioctl on `/dev/nsm`; on a laptop it is the simulator's software NSM.
 */
export interface NsmTransport extends Disposable {
  /**
   * Sends one request to the module and waits for its answer.
   *
   * @param request CBOR, at most 4096 bytes
   * @returns CBOR, at most 12288 bytes, which the caller owns and may wipe
   * @throws {AttestationError} When there is no NSM or the call fails
   */
  exchange(request: Uint8Array<ArrayBuffer>): Promise<Uint8Array>;
}
