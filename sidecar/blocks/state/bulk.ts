// Bulk operations around a store: the fallback where the store has none of its own, and writes under a resiliency policy, of which
// only what failed is tried again. An etag conflict is final: it is never tried again, and never lost because the rest succeeded.
import { type BulkGetItem, BulkStoreError, EtagError, type GetRequest, type StateStore } from "../../../components/state/store.ts";
import { messageOf } from "../../../lib/kit/errors.ts";
import type { Policy } from "../../contract/ports.ts";

interface Keyed {
  readonly key: string;
}

type Write<R> = (request: R, signal: AbortSignal) => Promise<void>;
type WriteMany<R> = (requests: readonly R[], signal: AbortSignal) => Promise<void>;

/** Writes the requests; `many` absent: each by itself. Rejects with what could not be stored. */
export async function writeAll<R extends Keyed>(
  requests: readonly R[],
  policy: Policy | null,
  one: Write<R>,
  many: WriteMany<R> | undefined,
  signal: AbortSignal,
): Promise<void> {
  const all = many ?? ((some: readonly R[], abort: AbortSignal) => eachByItself(some, one, abort));
  let open = requests;
  let conflict: EtagError | null = null;
  const attempt = async (abort: AbortSignal): Promise<void> => {
    try {
      await (open.length === 1 ? one(open[0] as R, abort) : all(open, abort));
    } catch (error) {
      const { final, retryable } = divide(error);
      conflict = graver(conflict, final);
      if (retryable === null) return;
      if (error instanceof BulkStoreError) open = open.filter((request) => retryable.has(request.key));
      throw error;
    }
  };
  try {
    await (policy === null ? attempt(signal) : policy.run(attempt, signal));
  } catch (error) {
    throw conflict ?? error;
  }
  if (conflict !== null) throw conflict;
}

/** The conflict among what failed, and the keys that may be tried again; null: none may. */
function divide(error: unknown): { readonly final: EtagError | null; readonly retryable: ReadonlySet<string> | null } {
  if (error instanceof EtagError) return { final: error, retryable: null };
  if (!(error instanceof BulkStoreError)) return { final: null, retryable: new Set() };
  let final: EtagError | null = null;
  const retryable = new Set<string>();
  for (const [key, failure] of error.failures) {
    if (failure instanceof EtagError) final = graver(final, failure);
    else retryable.add(key);
  }
  return { final, retryable: retryable.size > 0 ? retryable : null };
}

/** An invalid etag outweighs a mismatch. */
function graver(known: EtagError | null, found: EtagError | null): EtagError | null {
  if (known === null || found === null) return known ?? found;
  return known.kind === "invalid" ? known : found;
}

async function eachByItself<R extends Keyed>(requests: readonly R[], one: Write<R>, signal: AbortSignal): Promise<void> {
  const failures = new Map<string, Error>();
  await Promise.all(
    requests.map((request) => one(request, signal).catch((error: unknown) => void failures.set(request.key, toError(error)))),
  );
  if (failures.size > 0) throw new BulkStoreError(failures);
}

function toError(error: unknown): Error {
  return error instanceof Error ? error : new Error(messageOf(error));
}

/** Gets in bulk; without a native bulkGet by single gets, at most `parallelism` at a time (0: all at once). */
export async function readAll(
  store: StateStore,
  requests: readonly GetRequest[],
  parallelism: number,
  signal: AbortSignal,
): Promise<readonly BulkGetItem[]> {
  if (store.bulkGet !== undefined) return store.bulkGet(requests, signal);
  const items = new Array<BulkGetItem>(requests.length);
  let next = 0;
  const worker = async () => {
    for (let index = next++; index < requests.length; index = next++)
      items[index] = await readOne(store, requests[index] as GetRequest, signal);
  };
  const workers = parallelism > 0 ? Math.min(parallelism, requests.length) : requests.length;
  await Promise.all(Array.from({ length: workers }, worker));
  return items;
}

async function readOne(store: StateStore, request: GetRequest, signal: AbortSignal): Promise<BulkGetItem> {
  try {
    return { key: request.key, item: await store.get(request, signal), error: null };
  } catch (error) {
    return { key: request.key, item: null, error: messageOf(error) };
  }
}
