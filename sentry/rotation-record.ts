// rotation.json: how far a rotation is, kept beside the files it is about. It says for which anchors and issuer it was
// written, so that a certificate authority which somebody put in its place is never taken for ours. While a new root is
// being handed out it holds the key of the new issuer, and is as secret as issuer.key.
import { createHash } from "node:crypto";
import { certificatesPem } from "../lib/security/x509/read-certificate.ts";
import { type CaBundle, readBundle } from "./ca-bundle.ts";
import type { IssuerMaterial, RotationState } from "./rotate.ts";
import type { Credentials } from "./store/store.ts";

const formatVersion = 1;

export class RecordError extends Error {
  override readonly name = "RecordError";
}

/** What `state` looks like in a store. */
export function credentialsOf(state: RotationState): Credentials {
  const anchors = state.anchors.join("");
  const { issuerChain, issuerKey } = state.issuer;
  const record = {
    version: formatVersion,
    bundle: fingerprint(anchors, issuerChain),
    phase: state.phase,
    since: state.since,
    longestLeafMs: state.longestLeafMs,
    ...(state.phase === "distributing" ? { next: state.next } : {}),
    ...(state.phase === "retiring" ? { drop: state.drop, dropAt: state.dropAt } : {}),
  };
  return { anchors, issuerChain, issuerKey, rotation: `${JSON.stringify(record, null, 2)}\n` };
}

/** The state of `bundle`; null when the record is about another one. Throws RecordError when it cannot be understood. */
export function readRecord(text: string, bundle: CaBundle): RotationState | null {
  const record = parse(text);
  if (record["version"] !== formatVersion) {
    throw new RecordError(`rotation.json has version ${String(record["version"])}; this sentry reads version ${formatVersion}`);
  }
  if (record["bundle"] !== fingerprint(bundle.anchorsPem, bundle.chainPem)) return null;
  const common = {
    anchors: bundle.anchors.map((anchor) => certificatesPem([anchor])),
    issuer: materialOf(bundle),
    longestLeafMs: whole(record, "longestLeafMs"),
    since: whole(record, "since"),
  };
  switch (record["phase"]) {
    case "steady":
      return { ...common, phase: "steady" };
    case "distributing":
      return { ...common, phase: "distributing", next: readMaterial(record["next"], bundle.anchorsPem) };
    case "retiring":
      return { ...common, phase: "retiring", drop: string(record, "drop"), dropAt: whole(record, "dropAt") };
    default:
      throw new RecordError(`rotation.json has the unknown phase ${JSON.stringify(record["phase"])}`);
  }
}

export function materialOf(bundle: CaBundle): IssuerMaterial {
  return { root: bundle.rootPem, issuerChain: bundle.chainPem, issuerKey: bundle.keyPem, endsAt: bundle.endsAt };
}

function readMaterial(value: unknown, anchors: string): IssuerMaterial {
  if (typeof value !== "object" || value === null) throw new RecordError("rotation.json lacks the next issuer");
  const next = value as Record<string, unknown>;
  // The next issuer is checked as strictly as the one that signs.
  return materialOf(readBundle(anchors, string(next, "issuerChain"), string(next, "issuerKey")));
}

function fingerprint(anchors: string, issuerChain: string): string {
  return createHash("sha256").update(`${anchors}\0${issuerChain}`).digest("hex");
}

function parse(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  } catch {
    // Told below.
  }
  throw new RecordError("rotation.json is not a JSON object; remove it to leave the certificate authority as it is");
}

function whole(record: Record<string, unknown>, name: string): number {
  const value = record[name];
  if (typeof value !== "number" || !Number.isFinite(value)) throw new RecordError(`rotation.json: ${name} is no number`);
  return value;
}

function string(record: Record<string, unknown>, name: string): string {
  const value = record[name];
  if (typeof value !== "string") throw new RecordError(`rotation.json: ${name} is no text`);
  return value;
}
