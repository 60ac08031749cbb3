// PEM (RFC 7468), the strict form: a linear reader for what files and peers give us, bounded and typed, where forge's own
// is one regular expression over the whole input. Text outside the blocks is ignored, as everywhere.
import { X509Error } from "./x509-error.ts";

export interface PemBlock {
  /** `CERTIFICATE`, `CERTIFICATE REQUEST`, `PRIVATE KEY` … */
  readonly label: string;
  readonly der: Buffer;
}

/** A trust bundle of some hundred roots fits. */
export const pemMaxBytes = 1024 * 1024;
const blocksMax = 512;
const base64Line = /^[A-Za-z0-9+/]+={0,2}$/;

/** Every block, in order. Throws X509Error `pem` or `too_large`; no block at all is the caller's business. */
export function readPem(text: string | Uint8Array, maxBytes = pemMaxBytes): PemBlock[] {
  if (text.length > maxBytes) throw new X509Error("too_large", `PEM input has ${text.length} bytes; at most ${maxBytes} are accepted`);
  const lines = (typeof text === "string" ? text : Buffer.from(text.buffer, text.byteOffset, text.length).toString("latin1")).split("\n");
  const blocks: PemBlock[] = [];
  let open: { label: string; base64: string[] } | null = null;
  for (const raw of lines) {
    const line = raw.trim();
    const label = boundary(line, "-----BEGIN ");
    if (label !== null) {
      if (open !== null) throw new X509Error("pem", `PEM block ${quote(open.label)} has no END line before the next begins`);
      open = { label, base64: [] };
      continue;
    }
    if (open === null) continue;
    const end = boundary(line, "-----END ");
    if (end === null) {
      if (line !== "") open.base64.push(line);
      continue;
    }
    if (end !== open.label) throw new X509Error("pem", `PEM block ${quote(open.label)} ends as ${quote(end)}`);
    if (blocks.length === blocksMax) throw new X509Error("too_large", `PEM input has more than ${blocksMax} blocks`);
    blocks.push({ label: end, der: decode(open.label, open.base64) });
    open = null;
  }
  if (open !== null) throw new X509Error("pem", `PEM block ${quote(open.label)} has no END line`);
  return blocks;
}

export function writePem(label: string, der: Uint8Array): string {
  const base64 = Buffer.from(der.buffer, der.byteOffset, der.length).toString("base64");
  return `-----BEGIN ${label}-----\n${base64.replace(/.{1,64}/g, "$&\n")}-----END ${label}-----\n`;
}

function boundary(line: string, start: string): string | null {
  if (!line.startsWith(start) || !line.endsWith("-----") || line.length < start.length + 5) return null;
  return line.slice(start.length, -5);
}

function decode(label: string, lines: readonly string[]): Buffer {
  const base64 = lines.join("");
  if (base64.length % 4 !== 0 || !base64Line.test(base64)) throw new X509Error("pem", `PEM block ${quote(label)} is not base64`);
  return Buffer.from(base64, "base64");
}

function quote(label: string): string {
  return JSON.stringify(label.slice(0, 64));
}
