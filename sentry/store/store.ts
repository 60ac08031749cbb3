// Where the certificate authority's material is kept: the interface of the disk and the Kubernetes store. A save is all or
// nothing, also when the process dies in the middle of it, and fails when somebody else has changed what it is based on.

/** What is kept, by what it is; each store gives these its own names. */
export type CredentialKey = "anchors" | "issuerChain" | "issuerKey" | "jwtKey" | "jwks" | "rotation";

export const credentialKeys: readonly CredentialKey[] = ["anchors", "issuerChain", "issuerKey", "jwtKey", "jwks", "rotation"];

/** Text of what there is: PEM, JSON. */
export type Credentials = Readonly<Partial<Record<CredentialKey, string>>>;

export interface Stored {
  readonly credentials: Credentials;
  /** For `save`: changes with every change. */
  readonly version: string;
}

export interface CredentialStore {
  /** How logs call it. */
  readonly description: string;
  load(signal: AbortSignal): Promise<Stored>;
  /**
   * Writes what is given and leaves the rest; answers the new version. Rejects with ConflictError when what is kept is no
   * longer `version`.
   */
  save(credentials: Credentials, version: string, signal: AbortSignal): Promise<string>;
}

export class ConflictError extends Error {
  override readonly name = "ConflictError";
}

/** Largest of the files and values that are read, bytes. */
export const credentialMaxBytes = 1024 * 1024;
