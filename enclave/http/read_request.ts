const utf8 = new TextDecoder();

/**
 * A request whose body is at hand, and is to be asked for as text: that the runtime copies it and makes a stream
 * of it costs more than the rest of a request.
 */
export class ReadRequest extends Request {
  /** The body, which the other methods and `body` do not have. */
  override readonly text: Request["text"];

  /**
   * @param url Of the request
   * @param init Its method and headers
   * @param body UTF-8; decoded when it is asked for
   */
  constructor(url: string, init: RequestInit, body: Uint8Array<ArrayBuffer>) {
    super(url, init);
    this.text = () => Promise.resolve(utf8.decode(body));
  }
}
