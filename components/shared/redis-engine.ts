// The three ways to a Redis: one server, a cluster, a master found by sentinels. Each is the same small thing to the rest: send a command to
// whoever holds a key. Blob replies are Buffers; nothing is queued while there is no connection, so no write is executed after its caller gave up.
import { getCACertificates } from "node:tls";
import { createCluster, createSentinel, RESP_TYPES, RedisClient } from "redis";
import type { RedisAddress, RedisSettings, RedisTls } from "./redis-settings.ts";

export type RedisArgument = string | Buffer;
export type RedisArguments = readonly RedisArgument[];
export type Send = (args: RedisArguments) => Promise<unknown>;

export interface Engine {
  connect(): Promise<unknown>;
  /** To the server that holds `key`; null: to any master. */
  send(key: string | null, args: RedisArguments): Promise<unknown>;
  /** Every master, for commands without a key. */
  masters(): Promise<readonly Send[]>;
  /** Calls `listener` with the channel of each message; again after an outage. Null where a channel would only speak for one of several servers. */
  readonly listen: ((target: Channel, listener: (channel: string) => void) => Promise<Unlisten>) | null;
  destroy(): void;
  /** True when all commands go over one connection, in order. */
  readonly single: boolean;
}

/** A channel of Redis's own publish and subscribe, or a pattern of such. */
export interface Channel {
  readonly name: string;
  readonly pattern: boolean;
}

export type Unlisten = () => Promise<unknown>;

export interface EngineEvents {
  /** A connection was lost or could not be made; called again and again while it lasts. */
  readonly onError: (error: unknown) => void;
  readonly onReady: () => void;
  /** Milliseconds until the next attempt; an Error ends the attempts. */
  readonly reconnect: (retries: number, cause: Error) => number | Error;
}

/** Asks an idle server whether it is still there, and how long it may keep silent. */
const pingIntervalMs = 10_000;
const silenceMaxMs = 30_000;

const commandOptions = { timeout: 0, typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } } as const;

/** Makes the engine, unconnected. `blocking`: for one reader that waits inside its commands. */
export function makeEngine(settings: RedisSettings, events: EngineEvents, blocking: boolean): Engine {
  if (settings.mode === "cluster") return clusterEngine(settings, events, blocking);
  if (settings.mode === "sentinel") return sentinelEngine(settings, events);
  return nodeEngine(settings, events);
}

function nodeEngine(settings: RedisSettings, events: EngineEvents): Engine {
  const address = settings.addresses[0] as RedisAddress;
  // The bare class: createClient() would add a method for each of hundreds of commands, 20 MB of them, where we send commands as they are.
  const client = new RedisClient({
    ...clientOptions(settings),
    socket: { ...socketOptions(settings, events), host: address.host, port: address.port },
    commandOptions,
  });
  client.on("error", events.onError).on("ready", events.onReady);
  const send: Send = (args) => client.sendCommand(args as RedisArgument[]);
  return {
    connect: () => client.connect(),
    send: (_key, args) => client.sendCommand(args as RedisArgument[]),
    masters: async () => [send],
    listen: (target, listener) => listenOn(client, target, listener),
    destroy: () => client.destroy(),
    single: true,
  };
}

function clusterEngine(settings: RedisSettings, events: EngineEvents, blocking: boolean): Engine {
  const cluster = createCluster({
    rootNodes: settings.addresses.map(({ host, port }) => ({ socket: { host, port } })),
    defaults: { ...clientOptions(settings), socket: socketOptions(settings, events) },
    minimizeConnections: blocking,
    commandOptions,
    RESP: 2,
  });
  cluster.on("error", events.onError);
  cluster.on("node-ready", events.onReady);
  return {
    connect: () => cluster.connect(),
    send: (key, args) => cluster.sendCommand(key ?? undefined, false, args as RedisArgument[]),
    masters: () =>
      Promise.all(
        cluster.masters.map(async (master): Promise<Send> => {
          const client = await cluster.nodeClient(master);
          return (args) => client.sendCommand(args as RedisArgument[]);
        }),
      ),
    // Keyspace events are told by the node that holds the key, to its own listeners.
    listen: null,
    destroy: () => cluster.destroy(),
    single: false,
  };
}

function sentinelEngine(settings: RedisSettings, events: EngineEvents): Engine {
  const { sentinelUsername, sentinelPassword } = settings;
  const sentinel = createSentinel({
    name: settings.masterName,
    sentinelRootNodes: settings.addresses.map(({ host, port }) => ({ host, port })),
    nodeClientOptions: { ...clientOptions(settings), socket: socketOptions(settings, events) },
    sentinelClientOptions: {
      ...plainOptions,
      ...login(sentinelUsername, sentinelPassword),
      socket: { connectTimeout: settings.dialTimeoutMs, ...tlsOptions(settings.tls) },
    },
    // One connection for everything, so that commands are pipelined rather than taking turns.
    reserveClient: true,
    passthroughClientErrorEvents: true,
    commandOptions,
    RESP: 2,
  });
  sentinel.on("error", events.onError);
  sentinel.on("ready", events.onReady);
  const send: Send = (args) => sentinel.sendCommand(false, args as RedisArgument[]);
  return {
    connect: () => sentinel.connect(),
    send: (_key, args) => sentinel.sendCommand(false, args as RedisArgument[]),
    masters: async () => [send],
    listen: (target, listener) => listenOn(sentinel as Listenable, target, listener),
    destroy: () => void sentinel.destroy().catch(events.onError),
    single: false,
  };
}

type Listener = (message: string, channel: string) => void;

interface Listenable {
  subscribe(channel: string, listener: Listener): Promise<unknown>;
  unsubscribe(channel: string, listener: Listener): Promise<unknown>;
  pSubscribe(pattern: string, listener: Listener): Promise<unknown>;
  pUnsubscribe(pattern: string, listener: Listener): Promise<unknown>;
}

async function listenOn(client: Listenable, { name, pattern }: Channel, listener: (channel: string) => void): Promise<Unlisten> {
  const own: Listener = (_message, channel) => listener(channel);
  if (pattern) await client.pSubscribe(name, own);
  else await client.subscribe(name, own);
  return () => (pattern ? client.pUnsubscribe(name, own) : client.unsubscribe(name, own));
}

const plainOptions = { RESP: 2, maintNotifications: "disabled", disableOfflineQueue: true } as const;

function clientOptions(settings: RedisSettings) {
  return {
    ...plainOptions,
    ...login(settings.username, settings.password),
    ...(settings.database === 0 ? {} : { database: settings.database }),
    pingInterval: pingIntervalMs,
  };
}

function login(username: string, password: string) {
  return { ...(username === "" ? {} : { username }), ...(password === "" ? {} : { password }) };
}

function socketOptions(settings: RedisSettings, { reconnect }: EngineEvents) {
  return {
    connectTimeout: settings.dialTimeoutMs,
    socketTimeout: silenceMaxMs,
    reconnectStrategy: reconnect,
    ...tlsOptions(settings.tls),
  };
}

/** The system's authorities besides Node's own, as Go trusts them. */
function tlsOptions(tls: RedisTls | null) {
  if (tls === null) return {};
  return {
    tls: true as const,
    ca: [...getCACertificates("default"), ...getCACertificates("system")],
    rejectUnauthorized: !tls.insecureSkipVerify,
    ...(tls.clientCert === null || tls.clientKey === null ? {} : { cert: tls.clientCert, key: tls.clientKey }),
  };
}
