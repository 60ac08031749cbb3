// A Lua script on the server: sent by its digest, and whole when the server does not know it yet (new, restarted or failed over).
import { createHash } from "node:crypto";
import type { RedisConnection, SendOptions } from "./redis.ts";
import type { RedisArgument } from "./redis-engine.ts";
import { isReplyError } from "./redis-errors.ts";

export class RedisScript {
  readonly #source: string;
  readonly #digest: string;

  constructor(source: string) {
    this.#source = source;
    this.#digest = createHash("sha1").update(source).digest("hex");
  }

  /** Runs it on the server that holds `keys[0]`; in a cluster all keys must be of one slot. */
  async run(
    connection: RedisConnection,
    keys: readonly string[],
    args: readonly RedisArgument[],
    signal: AbortSignal,
    options: SendOptions,
  ): Promise<unknown> {
    const key = keys[0] as string;
    const rest = [String(keys.length), ...keys, ...args];
    try {
      return await connection.send(key, ["EVALSHA", this.#digest, ...rest], signal, options);
    } catch (error) {
      if (!isReplyError(error, "NOSCRIPT")) throw error;
      return connection.send(key, ["EVAL", this.#source, ...rest], signal, options);
    }
  }
}
