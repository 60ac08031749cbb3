// state.in-memory v1: a Map. Lost with the process and with a reload of the component; every verb is atomic because it runs in
// one turn. Expired entries are invisible at once and swept once a second while there are any with a TTL.
import { randomUUID } from "node:crypto";
import type { Clock, Timer } from "../../lib/kit/clock.ts";
import type { DriverContext } from "../driver.ts";
import { likePattern } from "./like.ts";
import {
  type BulkGetItem,
  type DeleteRequest,
  EtagError,
  type GetRequest,
  type KeysLikePage,
  type KeysLikeRequest,
  type RequestMetadata,
  type SetRequest,
  type StateFeature,
  type StateItem,
  type StateStore,
  type TransactionOperation,
} from "./store.ts";
import { expiryMetadata, ttlSeconds } from "./ttl.ts";

const sweepIntervalMs = 1000;

interface Entry {
  readonly item: StateItem;
  /** Milliseconds since the epoch; null: never. */
  readonly expiresAt: number | null;
  /** Rises with every write. */
  readonly sequence: number;
}

export function create(context: DriverContext): StateStore {
  return new MemoryStore(context.clock);
}

class MemoryStore implements StateStore {
  readonly features: readonly StateFeature[] = ["ETAG", "TRANSACTIONAL", "TTL", "DELETE_WITH_PREFIX", "KEYS_LIKE"];
  readonly #clock: Clock;
  readonly #entries = new Map<string, Entry>();
  readonly #expiring = new Set<string>();
  #sequence = 0;
  #sweep: Timer | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async init(): Promise<void> {}

  async close(): Promise<void> {
    this.#sweep?.cancel();
    this.#entries.clear();
    this.#expiring.clear();
  }

  async get(request: GetRequest): Promise<StateItem | null> {
    return this.#live(request.key)?.item ?? null;
  }

  async bulkGet(requests: readonly GetRequest[]): Promise<readonly BulkGetItem[]> {
    return requests.map(({ key }) => ({ key, item: this.#live(key)?.item ?? null, error: null }));
  }

  async set(request: SetRequest): Promise<void> {
    const ttl = ttlSeconds(request.metadata);
    this.#checkEtag(request);
    this.#put(request, ttl);
  }

  async delete(request: DeleteRequest): Promise<void> {
    this.#checkEtag(request);
    this.#remove(request.key);
  }

  /** Everything is checked before anything is written, so it is all or nothing. */
  async transact(operations: readonly TransactionOperation[], _metadata: RequestMetadata): Promise<void> {
    const ttls = operations.map(({ operation, request }) => (operation === "upsert" ? ttlSeconds(request.metadata) : null));
    for (const { request } of operations) this.#checkEtag(request);
    for (let index = 0; index < operations.length; index++) {
      const { operation, request } = operations[index] as TransactionOperation;
      if (operation === "upsert") this.#put(request, ttls[index] as number | null);
      else this.#remove(request.key);
    }
  }

  async deleteWithPrefix(prefix: string): Promise<number> {
    let count = 0;
    for (const key of this.#entries.keys()) {
      if (!key.startsWith(prefix) || key.includes("||", prefix.length)) continue;
      this.#remove(key);
      count++;
    }
    return count;
  }

  async keysLike({ pattern, pageSize, continuationToken }: KeysLikeRequest): Promise<KeysLikePage> {
    if (pattern === "") throw new Error("keys like pattern cannot be empty");
    const form = likePattern(pattern);
    const from = continuationToken === null ? 0 : Number(continuationToken);
    if (!Number.isSafeInteger(from)) throw new Error(`invalid continue token: '${continuationToken}'`);
    const found: { readonly key: string; readonly sequence: number }[] = [];
    for (const [key, entry] of this.#entries) {
      if (entry.sequence >= from && form.test(key) && this.#live(key) !== null) found.push({ key, sequence: entry.sequence });
    }
    found.sort((a, b) => a.sequence - b.sequence);
    const next = pageSize === null ? undefined : found[pageSize];
    const page = next === undefined ? found : found.slice(0, pageSize as number);
    return { keys: page.map(({ key }) => key), continuationToken: next === undefined ? null : String(next.sequence) };
  }

  #live(key: string): Entry | null {
    const entry = this.#entries.get(key);
    if (entry === undefined) return null;
    if (entry.expiresAt === null || entry.expiresAt >= this.#clock.now()) return entry;
    this.#remove(key);
    return null;
  }

  #checkEtag({ key, etag, concurrency }: SetRequest | DeleteRequest): void {
    const hasEtag = etag !== null && etag !== "";
    if (!hasEtag && concurrency !== "first-write") return;
    const entry = this.#live(key);
    if (hasEtag ? entry?.item.etag !== etag : entry !== null) throw new EtagError("mismatch");
  }

  #put({ key, value, metadata }: SetRequest, ttl: number | null): void {
    const expiresAt = ttl === null ? null : this.#clock.now() + ttl * 1000;
    // A slice would keep all of the message it came in.
    const data = value.byteLength === value.buffer.byteLength ? value : new Uint8Array(value);
    const item: StateItem = {
      data,
      etag: randomUUID(),
      metadata: expiryMetadata(expiresAt),
      contentType: metadata["contentType"] ?? null,
    };
    this.#entries.set(key, { item, expiresAt, sequence: this.#sequence++ });
    if (expiresAt === null) this.#expiring.delete(key);
    else {
      this.#expiring.add(key);
      this.#sweepLater();
    }
  }

  #remove(key: string): void {
    this.#entries.delete(key);
    this.#expiring.delete(key);
  }

  #sweepLater(): void {
    this.#sweep ??= this.#clock.after(sweepIntervalMs, () => {
      this.#sweep = null;
      for (const key of this.#expiring) this.#live(key);
      if (this.#expiring.size > 0) this.#sweepLater();
    });
  }
}
