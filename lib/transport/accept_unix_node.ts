export { acceptSocket as acceptUnix } from "./accept_socket.ts";
