// The secret-store kind (inventory §5.4).
import type { Driver } from "../driver.ts";

/** A secret is a map: single-valued stores answer `{<name>: <value>}`. */
export type Secret = Readonly<Record<string, string>>;

export type SecretFeature = "MULTIPLE_KEY_VALUES_PER_SECRET";

export interface SecretStore extends Driver {
  readonly features: readonly SecretFeature[];
  /** Rejects when the secret does not exist; the message never holds a value. */
  get(name: string, metadata: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Secret>;
  bulkGet(metadata: Readonly<Record<string, string>>, signal: AbortSignal): Promise<ReadonlyMap<string, Secret>>;
}
