// What listeners and channels need to know of TLS: where a secured connection comes from and who is at its other end.
// How it is secured is decided above this layer (lib/security).
import type { Server, Socket } from "node:net";
import type { TLSSocket } from "node:tls";

export interface SecureServer {
  /** A server, not listening, that calls `secured` with each connection whose handshake ended with an accepted peer. */
  createServer(secured: (socket: TLSSocket) => void): Server;
}

/** Opens a connection whose peer is verified in the handshake; a refused peer ends it with an error. */
export type SecureConnect = (address: { readonly host: string; readonly port: number }) => Socket;

const identityKey = Symbol("peer identity");
/** The symbol passes through the proxy that node:http2 puts in front of a session's socket. */
type WithIdentity = { [identityKey]?: string };

/** Notes the verified identity (a SPIFFE id) of a connection's other end. */
export function setPeerIdentity(socket: Socket, identity: string): void {
  (socket as WithIdentity)[identityKey] = identity;
}

/** The verified identity of the other end; null without one, and without TLS. */
export function peerIdentityOf(socket: Socket | undefined): string | null {
  return (socket as WithIdentity | undefined)?.[identityKey] ?? null;
}

/** What went wrong in a handshake. OpenSSL's own messages hold a thread, a source file and a line besides the reason. */
export function handshakeErrorText(error: Error): string {
  const { code, reason } = error as Error & { readonly code?: string; readonly reason?: string };
  return code?.startsWith("ERR_SSL") && typeof reason === "string" ? `tls: ${reason}` : error.message.trim();
}
