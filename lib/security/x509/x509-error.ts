// What can be wrong with a certificate, a request or a key that somebody gave us: a closed list of reasons that
// callers count and answer with, and a message that names cause and remedy. Never carries key material.

export type X509Reason =
  | "pem"
  | "der"
  | "too_large"
  | "structure"
  | "key_type"
  | "key_size"
  | "signature_algorithm"
  | "signature"
  | "san"
  | "extension"
  | "spiffe_id"
  | "not_a_ca"
  | "is_a_ca"
  | "path_length"
  | "not_yet_valid"
  | "expired"
  | "untrusted"
  | "key_mismatch"
  | "no_certificate";

export class X509Error extends Error {
  override readonly name = "X509Error";
  readonly reason: X509Reason;

  constructor(reason: X509Reason, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.reason = reason;
  }
}
