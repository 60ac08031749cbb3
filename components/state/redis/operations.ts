// A state request as the arguments of the scripts: what Dapr's Go driver means by etag, concurrency and time to live, with three
// differences that the store's contract asks for (docs/reference/components/state.redis.md): an etag on a missing key is a mismatch,
// last-write overwrites whatever is there, and a write without a time to live ends an earlier one.
import { requestProperty } from "../../metadata.ts";
import type { RedisArgument } from "../../shared/redis-engine.ts";
import { type DeleteRequest, EtagError, type SetRequest, type TransactionOperation } from "../store.ts";
import { ttlSeconds } from "../ttl.ts";

export interface Upsert {
  /** The version that must be there, or "". */
  readonly expected: string;
  readonly guarded: "0" | "1";
  readonly mark: "0" | "1";
  readonly seconds: string;
  readonly data: Buffer;
}

/** `defaultTtlSeconds`: for requests that say nothing; null for ever. Throws an EtagError for an etag that can be none of ours. */
export function upsertOf(request: SetRequest, defaultTtlSeconds: number | null): Upsert {
  const { concurrency, etag, metadata, value } = request;
  const expected = concurrency === "last-write" ? "" : versionOf(etag);
  const said = requestProperty(metadata, "ttlInSeconds");
  const seconds = said === undefined || said === "" ? defaultTtlSeconds : ttlSeconds(metadata);
  return {
    expected,
    guarded: expected === "" && concurrency !== "last-write" ? "1" : "0",
    mark: concurrency === "first-write" ? "1" : "0",
    seconds: seconds === null ? "0" : String(seconds),
    data: Buffer.from(value.buffer, value.byteOffset, value.byteLength),
  };
}

/** The etag that must be there for a delete, or "". */
export function expectedByDelete({ etag }: DeleteRequest): string {
  return etag === null || etag === "0" ? "" : etag;
}

const empty = Buffer.alloc(0);

export function transactionArguments(operation: TransactionOperation, defaultTtlSeconds: number | null): readonly RedisArgument[] {
  if (operation.operation === "delete") return ["delete", expectedByDelete(operation.request), "0", "0", "0", empty];
  const { expected, guarded, mark, seconds, data } = upsertOf(operation.request, defaultTtlSeconds);
  return ["set", expected, guarded, mark, seconds, data];
}

/** Versions are whole numbers; 0 stands for no etag, as in Dapr. */
function versionOf(etag: string | null): string {
  if (etag === null || etag === "") return "";
  if (!/^[+-]?\d{1,19}$/.test(etag)) throw new EtagError("invalid", new Error(`'${etag}' is no version of state.redis`));
  const version = BigInt(etag).toString();
  return version === "0" ? "" : version;
}
