// From an app id to the address that the next call goes to: round robin over what the resolver knows. Resolvers keep
// their own caches; here a resolver that answers with nothing is asked again for a moment, since the other sidecar may
// be about to announce itself.
import type { NameResolver, ResolveRequest } from "../../components/nameresolution/resolver.ts";
import { type Clock, sleep } from "../../lib/kit/clock.ts";

const emptyRetries = 5;
const emptyPauseMs = 100;
const countersMax = 4096;

export class AddressBook {
  readonly #resolver: NameResolver;
  readonly #clock: Clock;
  readonly #turns = new Map<string, number>();

  constructor(resolver: NameResolver, clock: Clock) {
    this.#resolver = resolver;
    this.#clock = clock;
  }

  /** Rejects with the resolver's error, or when there is no address. */
  async pick(request: ResolveRequest, signal: AbortSignal): Promise<string> {
    for (let retry = 0; ; retry++) {
      const addresses = await this.#resolver.resolve(request, signal);
      if (addresses.length > 0) return addresses[this.#turn(request) % addresses.length] as string;
      if (retry === emptyRetries) {
        throw new Error(`resolver returned empty address for app id ${request.namespace}/${request.appId}`);
      }
      await sleep(this.#clock, emptyPauseMs, signal);
    }
  }

  /** A call to `address` could not connect. */
  drop(request: ResolveRequest, address: string): void {
    this.#resolver.invalidate(request, address);
  }

  #turn(request: ResolveRequest): number {
    const key = `${request.namespace}/${request.appId}`;
    const turn = this.#turns.get(key) ?? 0;
    if (this.#turns.size >= countersMax) this.#turns.clear();
    this.#turns.set(key, (turn + 1) % Number.MAX_SAFE_INTEGER);
    return turn;
  }
}
