// Connections to other sidecars, one channel per address. A channel unused for minutes is closed; one that failed is
// dropped at once, so that the next attempt dials.
import type { Clock, Timer } from "../../lib/kit/clock.ts";
import type { GrpcChannel } from "../../lib/wire/grpc/types.ts";

const idleMaxMs = 3 * 60_000;
const sweepMs = 45_000;

/** Whom the other end must prove to be, once there is mTLS. */
export interface PeerTarget {
  readonly address: string;
  readonly appId: string;
  readonly namespace: string;
}

export type ConnectPeer = (target: PeerTarget) => GrpcChannel;

interface Connection {
  readonly channel: GrpcChannel;
  usedMs: number;
  calls: number;
}

export class Connections {
  readonly #connect: ConnectPeer;
  readonly #clock: Clock;
  readonly #open = new Map<string, Connection>();
  #timer: Timer | null = null;
  #closed = false;

  constructor(connect: ConnectPeer, clock: Clock) {
    this.#connect = connect;
    this.#clock = clock;
  }

  get size(): number {
    return this.#open.size;
  }

  /** A channel for one call; `done` tells when the call is over. */
  use(target: PeerTarget): { readonly channel: GrpcChannel; readonly done: () => void } {
    const connection = this.#open.get(target.address) ?? this.#add(target);
    connection.calls++;
    connection.usedMs = this.#clock.monotonic();
    let over = false;
    const done = () => {
      if (over) return;
      over = true;
      connection.calls--;
      connection.usedMs = this.#clock.monotonic();
    };
    return { channel: connection.channel, done };
  }

  drop(address: string): void {
    const connection = this.#open.get(address);
    if (!connection) return;
    this.#open.delete(address);
    connection.channel.close().catch(ignore);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    const open = [...this.#open.values()];
    this.#open.clear();
    await Promise.all(open.map(({ channel }) => channel.close()));
  }

  #add(target: PeerTarget): Connection {
    const connection = { channel: this.#connect(target), usedMs: 0, calls: 0 };
    this.#open.set(target.address, connection);
    this.#timer ??= this.#clock.after(sweepMs, () => this.#sweep());
    return connection;
  }

  #sweep(): void {
    const oldestMs = this.#clock.monotonic() - idleMaxMs;
    for (const [address, connection] of this.#open) if (connection.calls === 0 && connection.usedMs < oldestMs) this.drop(address);
    this.#timer = this.#open.size > 0 && !this.#closed ? this.#clock.after(sweepMs, () => this.#sweep()) : null;
  }
}

function ignore(): void {}
