// One stream as one consumer group sees it: the commands, and what their replies mean. Group and consumer have the same name in every
// sidecar of an app, Go's as well, so what one left pending another takes over.
import type { RedisConnection } from "../../shared/redis.ts";
import { isReplyError } from "../../shared/redis-errors.ts";

export interface Entry {
  readonly id: string;
  readonly data: Uint8Array;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface PendingEntry {
  readonly id: string;
  readonly idleMs: number;
}

const empty = new Uint8Array(0);
const twice = { idempotent: true } as const;
/** Repeated, it would hand out other entries than those whose reply was lost. */
const once = { idempotent: false } as const;

type RawEntry = readonly [Buffer, readonly Buffer[] | null] | null;

export class Stream {
  readonly topic: string;
  readonly #group: string;
  readonly #connection: RedisConnection;

  constructor(topic: string, group: string, connection: RedisConnection) {
    this.topic = topic;
    this.#group = group;
    this.#connection = connection;
  }

  /** A new group gets everything that the stream still holds. */
  async join(signal: AbortSignal): Promise<void> {
    try {
      await this.#send(["XGROUP", "CREATE", this.topic, this.#group, "0", "MKSTREAM"], signal);
    } catch (error) {
      if (!isReplyError(error, "BUSYGROUP")) throw error;
    }
  }

  /** New entries, waiting up to `blockMs` for the first; on a connection of its own. */
  async read(reader: RedisConnection, count: number, blockMs: number, signal: AbortSignal): Promise<readonly Entry[]> {
    const from = ["COUNT", String(count), "BLOCK", String(blockMs), "STREAMS", this.topic, ">"];
    const args = ["XREADGROUP", "GROUP", this.#group, this.#group, ...from];
    const reply = await reader.send(this.topic, args, signal, { ...once, blocksMs: blockMs });
    const [stream] = (reply ?? []) as readonly (readonly [Buffer, readonly RawEntry[]])[];
    return entriesOf(stream?.[1] ?? []);
  }

  /** Pending entries of the group, oldest first, from `start` on. */
  async pending(start: string, count: number, signal: AbortSignal): Promise<readonly PendingEntry[]> {
    const reply = await this.#send(["XPENDING", this.topic, this.#group, start, "+", String(count)], signal);
    return (reply as readonly [Buffer, Buffer, number, number][]).map(([id, , idleMs]) => ({ id: id.toString(), idleMs }));
  }

  /** Takes pending entries over, those that have been idle for `minIdleMs`. */
  async claim(ids: readonly string[], minIdleMs: number, signal: AbortSignal): Promise<readonly Entry[]> {
    const args = ["XCLAIM", this.topic, this.#group, this.#group, String(minIdleMs), ...ids];
    return entriesOf((await this.#connection.send(this.topic, args, signal, once)) as readonly RawEntry[]);
  }

  /** Sets how long pending entries have been idle, without counting it as a delivery. */
  async setIdle(ids: readonly string[], idleMs: number, signal: AbortSignal): Promise<void> {
    if (ids.length === 0) return;
    await this.#send(["XCLAIM", this.topic, this.#group, this.#group, "0", ...ids, "IDLE", String(Math.round(idleMs)), "JUSTID"], signal);
  }

  /** True when the stream still holds the entry; trimming removes entries that are pending. */
  async holds(id: string, signal: AbortSignal): Promise<boolean> {
    return ((await this.#send(["XRANGE", this.topic, id, id], signal)) as readonly unknown[]).length > 0;
  }

  async acknowledge(id: string, signal: AbortSignal): Promise<void> {
    await this.#send(["XACK", this.topic, this.#group, id], signal);
  }

  #send(args: readonly string[], signal: AbortSignal): Promise<unknown> {
    return this.#connection.send(this.topic, args, signal, twice);
  }
}

/** Deleted entries are null (Redis 6), or have no fields. */
function entriesOf(raw: readonly RawEntry[]): readonly Entry[] {
  const entries: Entry[] = [];
  for (const item of raw) if (item !== null && item[1] !== null) entries.push(entryOf(item[0].toString(), item[1]));
  return entries;
}

function entryOf(id: string, fields: readonly Buffer[]): Entry {
  let data: Uint8Array = empty;
  let metadata: Readonly<Record<string, string>> = {};
  for (let index = 0; index + 1 < fields.length; index += 2) {
    const name = fields[index]?.toString();
    if (name === "data") data = fields[index + 1] as Buffer;
    else if (name === "metadata") metadata = metadataOf((fields[index + 1] as Buffer).toString());
  }
  return { id, data, metadata };
}

/** What is no JSON object of texts is left out: the message itself is still good. */
function metadataOf(text: string): Readonly<Record<string, string>> {
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed !== "object" || parsed === null) return {};
    return Object.fromEntries(Object.entries(parsed).filter((entry): entry is [string, string] => typeof entry[1] === "string"));
  } catch {
    return {};
  }
}

/** The smallest id greater than `id` (`milliseconds-sequence`). */
export function idAfter(id: string): string {
  const [time, sequence] = id.split("-") as [string, string];
  return `${time}-${BigInt(sequence) + 1n}`;
}
