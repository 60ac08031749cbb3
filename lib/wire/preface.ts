// Which protocol a fresh connection speaks. Nothing is consumed: what was read goes back into the socket.
import type { Socket } from "node:net";

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/** Compares as far as both go: "http2" needs the whole preface, anything that departs from it is HTTP/1.1, null is undecided. */
export function protocolOf(bytes: Buffer): "http1" | "http2" | null {
  const length = Math.min(bytes.length, preface.length);
  if (preface.compare(bytes, 0, length, 0, length) !== 0) return "http1";
  return length === preface.length ? "http2" : null;
}

/**
 * Calls `decided` once, with the socket paused and its bytes back in place. Not called when the socket ends or breaks before.
 */
export function detectProtocol(socket: Socket, decided: (protocol: "http1" | "http2") => void): void {
  let seen: Buffer | null = null;
  const onData = (chunk: Buffer): void => {
    seen = seen === null ? chunk : Buffer.concat([seen, chunk]);
    const protocol = protocolOf(seen);
    if (protocol === null) return;
    stop();
    socket.pause();
    socket.unshift(seen);
    decided(protocol);
  };
  const onEnd = (): void => {
    stop();
    socket.destroy();
  };
  const stop = (): void => {
    socket.off("data", onData);
    socket.off("end", onEnd);
  };
  socket.on("data", onData);
  socket.on("end", onEnd);
}
