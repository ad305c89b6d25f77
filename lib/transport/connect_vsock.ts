/**
 * Connecting over AF_VSOCK, the same on both runtimes: each has a file of its own, chosen by package.json and
 * deno.json.
 *
 * @module
 */
export { connectVsock } from "#vsock-connect";
