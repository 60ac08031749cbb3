// The few HTTP calls a supervisor makes to a sidecar: is it ready, note this in your metadata, shut down. Over TCP or the Unix
// socket that replaces it.
import { type IncomingMessage, request } from "node:http";
import { join } from "node:path";
import type { AppPlan, Ports } from "./plan.ts";

export interface SidecarAddress {
  readonly socketPath: string | null;
  readonly host: string;
  readonly port: number;
  /** Sent as `dapr-api-token`; null without. */
  readonly token: string | null;
}

export interface SidecarReply {
  readonly status: number;
  readonly body: string;
}

const requestTimeoutMs = 2000;
const readyPollMs = 50;

export function sidecarAddress(plan: AppPlan, ports: Ports, token: string | null): SidecarAddress {
  const folder = plan.settings["unix-domain-socket"];
  const listen = (plan.settings["dapr-listen-addresses"] ?? "").split(",")[0]?.trim() ?? "";
  const host = listen === "" || listen === "0.0.0.0" || listen === "[::]" || listen === "::" ? "127.0.0.1" : listen.replace(/^\[|\]$/g, "");
  return { socketPath: folder ? join(folder, `dapr-${plan.appId}-http.socket`) : null, host, port: ports.http, token };
}

/** One call. Rejects when the sidecar cannot be reached within 2 s. */
export function callSidecar(
  address: SidecarAddress,
  method: string,
  path: string,
  body: string | null,
  signal?: AbortSignal,
): Promise<SidecarReply> {
  const where = address.socketPath === null ? { host: address.host, port: address.port } : { socketPath: address.socketPath };
  const headers: Record<string, string | number> = address.token === null ? {} : { "dapr-api-token": address.token };
  if (body !== null) Object.assign(headers, { "content-type": "text/plain", "content-length": Buffer.byteLength(body) });
  const limit = AbortSignal.timeout(requestTimeoutMs);
  return new Promise((resolve, reject) => {
    const sent = request({
      ...where,
      method,
      path,
      headers,
      agent: false,
      signal: signal === undefined ? limit : AbortSignal.any([signal, limit]),
    });
    sent.once("error", reject);
    sent.once("response", (response: IncomingMessage) => {
      const parts: Buffer[] = [];
      response.on("data", (part: Buffer) => parts.push(part));
      response.once("error", reject);
      response.once("end", () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(parts).toString() }));
    });
    sent.end(body ?? undefined);
  });
}

/** Resolves when `/v1.0/healthz/outbound` answers 204; rejects with the signal's reason. */
export async function untilOutboundReady(address: SidecarAddress, signal: AbortSignal): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    const reply = await callSidecar(address, "GET", "/v1.0/healthz/outbound", null, signal).catch(() => null);
    if (reply?.status === 204) return;
    await new Promise((resolve) => setTimeout(resolve, readyPollMs));
  }
}

/** Notes `values` in the sidecar's metadata; answers the keys that could not be set. */
export async function putMetadata(address: SidecarAddress, values: Readonly<Record<string, string>>): Promise<string[]> {
  const failed: string[] = [];
  for (const [key, value] of Object.entries(values)) {
    const reply = await callSidecar(address, "PUT", `/v1.0/metadata/${encodeURIComponent(key)}`, value).catch(() => null);
    if (reply?.status !== 204) failed.push(key);
  }
  return failed;
}
