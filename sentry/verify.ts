// Which certificate requests are signed at all: size, PEM, DER, key and proof of possession (lib/security reads them
// strictly). Names, extensions and attributes that a request asks for are never granted: an identity is what a validator
// has confirmed, so they are only counted for the log.
import type { KeyObject } from "node:crypto";
import { GrpcCode } from "../lib/kit/errors.ts";
import { csrFromPem, readCsr } from "../lib/security/x509/csr.ts";
import { X509Error, type X509Reason } from "../lib/security/x509/x509-error.ts";
import { GrpcStatusError } from "../lib/wire/grpc/types.ts";

export interface VerifiedRequest {
  readonly publicKey: KeyObject;
  /** How many names, extensions and attributes were asked for and are ignored. */
  readonly ignored: number;
}

/** Refused by policy; `reason` is counted. */
export class CsrError extends GrpcStatusError {
  readonly reason: X509Reason;

  constructor(reason: X509Reason, message: string) {
    super(GrpcCode.INVALID_ARGUMENT, message);
    this.reason = reason;
  }
}

/** Throws CsrError. */
export function verifyRequest(pem: Uint8Array): VerifiedRequest {
  try {
    const csr = readCsr(csrFromPem(pem));
    return { publicKey: csr.publicKey, ignored: csr.subject.length + csr.extensions.length + csr.attributes.length };
  } catch (error) {
    if (error instanceof X509Error) throw new CsrError(error.reason, messageFor(error));
    throw error;
  }
}

/** Dapr's words, then ours. */
function messageFor({ reason, message }: X509Error): string {
  if (reason === "pem" || reason === "too_large") return `invalid certificate signing request: ${message}`;
  if (reason === "signature") return `invalid signature: ${message}`;
  return `failed to parse certificate signing request: ${message}`;
}
