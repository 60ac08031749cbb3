// nameresolution.mdns v1, Dapr's default: announces this sidecar on multicast DNS and finds others, Go sidecars
// included. One socket listens all the time, so browsing is one question and a wait; known apps are asked for again
// every half minute and forgotten when they do not answer.
import { hostname } from "node:os";
import type { Clock, Timer } from "../../lib/kit/clock.ts";
import { messageOf } from "../../lib/kit/errors.ts";
import type { Logger } from "../../lib/telemetry/log.ts";
import type { DriverContext } from "../driver.ts";
import { decodeMessage } from "../shared/dns-message.ts";
import { type MulticastSocket, openMulticast } from "../shared/multicast-socket.ts";
import { browseQuery, compileService, readSightings, type Service, type Sighting } from "./mdns-records.ts";
import type { NameResolver, Registration, ResolveRequest } from "./resolver.ts";

const group = "224.0.0.251";
const standardPort = 5353;
const browseMs = 1000;
/** Asked once more within the window: datagrams get lost. */
const repeatQueryMs = 300;
const refreshMs = 30_000;
const addressTtlMs = 60_000;
const announceAgainMs = 1000;
const addressesPerAppMax = 256;

type Open = (group: string, port: number, onMessage: (message: Buffer) => void) => Promise<MulticastSocket>;

export function create(context: DriverContext): NameResolver {
  return new MdnsResolver(context, standardPort, openMulticast);
}

/** With another port and socket for tests. */
export function createOn(context: DriverContext, port: number, open: Open): NameResolver {
  return new MdnsResolver(context, port, open);
}

interface Browse {
  readonly found: Promise<void>;
  readonly onFound: () => void;
}

class MdnsResolver implements NameResolver {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #port: number;
  readonly #open: Open;
  /** App id to address to the time it expires, monotonic milliseconds. */
  readonly #known = new Map<string, Map<string, number>>();
  readonly #browsing = new Map<string, Browse>();
  #socket: MulticastSocket | null = null;
  #service: Service | null = null;
  readonly #timers = new Set<Timer>();
  #closed = false;

  constructor(context: DriverContext, port: number, open: Open) {
    this.#clock = context.clock;
    this.#log = context.log;
    this.#port = port;
    this.#open = open;
  }

  async init(_signal: AbortSignal): Promise<void> {
    try {
      this.#socket = await this.#open(group, this.#port, (message) => this.#onMessage(message));
    } catch (error) {
      throw new Error(
        `cannot use multicast DNS on UDP port ${this.#port}: ${messageOf(error)}; use the name resolution 'sqlite' where there is no multicast`,
      );
    }
    this.#later(refreshMs, () => this.#refresh());
  }

  async register(registration: Registration, _signal: AbortSignal): Promise<void> {
    const { appId, host, port } = registration;
    const service = compileService({ appId, host, port, hostName: hostname(), pid: process.pid });
    this.#service = service;
    await this.#send(service.announcement);
    this.#later(announceAgainMs, () => void this.#send(service.announcement));
    this.#log.info(`local service entry announced: ${appId} -> ${host}:${port}`);
  }

  async resolve({ appId }: ResolveRequest, signal: AbortSignal): Promise<readonly string[]> {
    const known = this.#live(appId);
    if (known.length > 0) return known;
    signal.throwIfAborted();
    await this.#browse(appId);
    signal.throwIfAborted();
    const found = this.#live(appId);
    if (found.length === 0) throw new Error(`couldn't find service: ${appId}`);
    return found;
  }

  invalidate({ appId }: ResolveRequest, address: string): void {
    this.#known.get(appId)?.delete(address);
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
    if (this.#service) await this.#send(this.#service.goodbye);
    await this.#socket?.close();
    this.#socket = null;
  }

  #live(appId: string): readonly string[] {
    const addresses = this.#known.get(appId);
    if (addresses === undefined) return none;
    const now = this.#clock.monotonic();
    for (const [address, expiresMs] of addresses) if (expiresMs <= now) addresses.delete(address);
    if (addresses.size > 0) return [...addresses.keys()];
    this.#known.delete(appId);
    return none;
  }

  /** Resolves when the first address is known or the window is over; callers for the same app share one. */
  #browse(appId: string): Promise<void> {
    const running = this.#browsing.get(appId);
    if (running) return running.found;
    const { promise, resolve } = Promise.withResolvers<void>();
    const query = browseQuery(appId);
    const repeat = this.#later(repeatQueryMs, () => void this.#send(query));
    const end = this.#later(browseMs, () => onFound());
    const onFound = () => {
      this.#browsing.delete(appId);
      for (const timer of [repeat, end]) {
        timer.cancel();
        this.#timers.delete(timer);
      }
      resolve();
    };
    this.#browsing.set(appId, { found: promise, onFound });
    void this.#send(query);
    return promise;
  }

  #onMessage(bytes: Buffer): void {
    if (this.#closed) return;
    const message = decodeMessage(bytes);
    if (message === null) return;
    if (!message.isResponse) {
      const answer = this.#service?.answer(message.questions) ?? null;
      if (answer !== null) void this.#send(answer);
      return;
    }
    for (const sighting of readSightings(message)) this.#seen(sighting);
  }

  /** Only apps that were asked for are kept. */
  #seen({ appId, address, gone }: Sighting): void {
    const browse = this.#browsing.get(appId);
    let addresses = this.#known.get(appId);
    if (gone) {
      addresses?.delete(address);
      return;
    }
    if (addresses === undefined) {
      if (browse === undefined) return;
      addresses = new Map();
      this.#known.set(appId, addresses);
    }
    if (addresses.size < addressesPerAppMax || addresses.has(address)) addresses.set(address, this.#clock.monotonic() + addressTtlMs);
    browse?.onFound();
  }

  #refresh(): void {
    for (const appId of [...this.#known.keys()]) if (this.#live(appId).length > 0) void this.#send(browseQuery(appId));
    this.#later(refreshMs, () => this.#refresh());
  }

  /** Never rejects: what did not go out is asked or announced again. */
  async #send(message: Buffer): Promise<void> {
    try {
      await this.#socket?.send(message);
    } catch (error) {
      this.#log.debug(`mDNS message not sent: ${messageOf(error)}`);
    }
  }

  #later(delayMs: number, fire: () => void): Timer {
    const timer = this.#clock.after(delayMs, () => {
      this.#timers.delete(timer);
      fire();
    });
    this.#timers.add(timer);
    return timer;
  }
}

const none: readonly string[] = [];
