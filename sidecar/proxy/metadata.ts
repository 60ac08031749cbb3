// The headers of a proxied call on one hop: everything passes as it came, except credentials, the target's name, what
// says who calls whom, and the trace, which continues here (lessons.md, attacks 3 and 5).

import { parseSpiffeId } from "../../lib/security/spiffe.ts";
import { childOf, decodeTraceBin, encodeTraceBin, formatTraceparent, parseTraceparent } from "../../lib/telemetry/trace-context.ts";
import { endToEnd } from "../../lib/wire/grpc/forward.ts";
import type { Identity } from "../contract/ports.ts";

/** Never forwarded: `dapr-api-token` opens the sidecar that it was sent to, and `grpc-timeout` is counted anew. */
const consumed = ["dapr-app-id", "dapr-api-token", "grpc-timeout", "content-length", "host"];
const trace = ["traceparent", "tracestate", "grpc-trace-bin"];
const parties = ["dapr-caller-app-id", "dapr-caller-namespace", "dapr-callee-app-id"];

const droppedFromApp: ReadonlySet<string> = new Set([...consumed, ...trace, ...parties]);
const droppedFromPeer: ReadonlySet<string> = new Set([...consumed, ...trace]);

/** A call of our own app: who calls is us, whatever the app says. `raw` alternates names and values. */
export function fromOwnApp(raw: readonly string[], identity: Identity, calleeAppId: string): string[] {
  const headers = without(raw, droppedFromApp);
  headers.push(
    ...["dapr-caller-app-id", identity.appId],
    ...["dapr-caller-namespace", identity.namespace],
    ...["dapr-callee-app-id", calleeAppId],
  );
  return headers;
}

/** A call of another sidecar. With mTLS its certificate says who calls, in place of its headers. */
export function fromPeer(raw: readonly string[], peerIdentity: string | null): string[] {
  if (peerIdentity === null) return without(raw, droppedFromPeer);
  const { appId, namespace } = parseSpiffeId(peerIdentity);
  const headers = without(raw, droppedFromApp);
  headers.push("dapr-caller-app-id", appId, "dapr-caller-namespace", namespace);
  const callee = firstOf(raw, "dapr-callee-app-id");
  if (callee !== undefined) headers.push("dapr-callee-app-id", callee);
  return headers;
}

/** The target: `dapr-callee-app-id`, else `dapr-app-id`. */
export function targetOf(raw: readonly string[]): string | undefined {
  return firstOf(raw, "dapr-callee-app-id") ?? firstOf(raw, "dapr-app-id");
}

export function firstOf(raw: readonly string[], name: string): string | undefined {
  for (let at = 0; at + 1 < raw.length; at += 2) if (raw[at] === name) return raw[at + 1];
  return undefined;
}

function without(raw: readonly string[], dropped: ReadonlySet<string>): string[] {
  const passing = endToEnd(raw);
  const headers: string[] = [];
  for (let at = 0; at < passing.length; at += 2) {
    const name = passing[at] as string;
    if (!dropped.has(name)) headers.push(name, passing[at + 1] as string);
  }
  continueTrace(raw, headers);
  return headers;
}

/** A trace that the caller began goes on in both forms; none is begun here. */
function continueTrace(raw: readonly string[], into: string[]): void {
  const binary = firstOf(raw, "grpc-trace-bin");
  const parent =
    parseTraceparent(firstOf(raw, "traceparent"), firstOf(raw, "tracestate")) ??
    (binary === undefined ? null : decodeTraceBin(Buffer.from(binary, "base64")));
  if (parent === null) return;
  const child = childOf(parent, false);
  into.push("traceparent", formatTraceparent(child));
  if (child.tracestate !== "") into.push("tracestate", child.tracestate);
  into.push("grpc-trace-bin", encodeTraceBin(child).toString("base64"));
}
