// A connection of the load to a subject.
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

/** With `tls` for HTTP/2, whoever answers: who it is and whether it may are not what is measured. */
export function loadSocket(port: number, tls: boolean): Socket {
  const address = { port, host: "127.0.0.1", noDelay: true };
  return tls ? connectTls({ ...address, ALPNProtocols: ["h2"], rejectUnauthorized: false }) : connect(address);
}
