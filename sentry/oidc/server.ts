// The OIDC server's socket: HTTP/1.1, with TLS by files that are read again when they change. What it says is discovery.ts.
import { readFile } from "node:fs/promises";
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer, type Server as TlsServer } from "node:tls";
import { messageOf } from "../../lib/kit/errors.ts";
import type { Logger } from "../../lib/telemetry/log.ts";
import type { SecureServer } from "../../lib/wire/secure.ts";
import type { OidcHandler } from "./discovery.ts";

export interface OidcServerOptions {
  readonly handler: OidcHandler;
  /** The set of the moment. */
  readonly keySet: () => string;
  /** Null: plain HTTP. */
  readonly tls: { readonly certFile: string; readonly keyFile: string } | null;
  readonly log: Logger;
}

export interface OidcServer {
  /** Not listening. */
  readonly server: Server;
  /** Null: plain HTTP. */
  readonly secure: SecureServer | null;
  /** Reads the TLS files again; keeps the old ones when the new are bad. */
  reload(): Promise<void>;
}

const headersTimeoutMs = 10_000;
const headersMaxBytes = 16 * 1024;

/** Rejects when the TLS files are missing or bad. */
export async function createOidcServer({ handler, keySet, tls, log }: OidcServerOptions): Promise<OidcServer> {
  const limits = { headersTimeout: headersTimeoutMs, requestTimeout: headersTimeoutMs, maxHeaderSize: headersMaxBytes };
  const serve = (request: IncomingMessage, response: ServerResponse): void => answer(handler, keySet(), request, response, log);
  const server = createHttpServer(limits, serve);
  if (tls === null) return { server, secure: null, reload: async () => {} };
  let context = { minVersion: "TLSv1.2", ...(await readTls(tls)) } as const;
  const opened: TlsServer[] = [];
  const secure: SecureServer = {
    createServer(secured) {
      const tlsServer = createTlsServer({ ...context, ALPNProtocols: ["http/1.1"], handshakeTimeout: headersTimeoutMs }, secured);
      tlsServer.on("tlsClientError", (error) => log.debug(`TLS handshake failed: ${messageOf(error)}`));
      opened.push(tlsServer);
      return tlsServer;
    },
  };
  return {
    server,
    secure,
    async reload() {
      try {
        context = { minVersion: "TLSv1.2", ...(await readTls(tls)) };
        for (const one of opened) one.setSecureContext(context);
      } catch (error) {
        log.error(`The TLS files of the OIDC server cannot be used, keeping the last good ones: ${messageOf(error)}`);
      }
    },
  };
}

async function readTls({ certFile, keyFile }: { readonly certFile: string; readonly keyFile: string }) {
  const [cert, key] = await Promise.all([readFile(certFile), readFile(keyFile)]);
  return { cert, key };
}

function answer(handler: OidcHandler, keySet: string, request: IncomingMessage, response: ServerResponse, log: Logger): void {
  const path = (request.url ?? "/").replace(/\?.*$/s, "");
  const forwarded = request.headers["x-forwarded-host"];
  const reply = handler(
    {
      method: request.method ?? "",
      path,
      host: request.headers.host ?? "",
      forwardedHost: Array.isArray(forwarded) ? (forwarded[0] ?? "") : (forwarded ?? ""),
    },
    keySet,
  );
  if (reply.status === 403) log.warn("Request from unauthorized domain");
  response.writeHead(reply.status, { ...reply.headers, "content-length": Buffer.byteLength(reply.body) });
  response.end(request.method === "HEAD" ? undefined : reply.body);
}
