// What follows the app's health: its configuration is asked for once, subscriptions start when it is healthy and drain
// when it is not. Changes are worked off one after the other, so that a start never overtakes a stop.
import { messageOf } from "../lib/kit/errors.ts";
import type { Logger } from "../lib/telemetry/log.ts";
import type { App } from "./contract/ports.ts";

export interface Inbound {
  start(): Promise<void>;
  /** Drains what the app's health governs. */
  stop(): Promise<void>;
  /** Drains everything. */
  stopForever(): Promise<void>;
}

export interface AppSubscriber {
  /** Resolves when the first "healthy" has been worked off. */
  readonly started: Promise<void>;
  /** Drains and stays stopped, whatever the app does. */
  stopForever(): Promise<void>;
}

export interface AppSubscriberPorts {
  readonly app: App;
  readonly appId: string;
  readonly asksConfig: boolean;
  readonly inbound: Inbound;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

export function followApp(ports: AppSubscriberPorts): AppSubscriber {
  const { app, inbound, log } = ports;
  const started = Promise.withResolvers<void>();
  let queue = Promise.resolve();
  let over = false;
  let configured = false;

  const onHealthy = async () => {
    if (over) return;
    if (!configured) {
      configured = true;
      await askForConfig(ports);
    }
    if (app.channel !== null) await inbound.start();
  };
  const enqueue = (work: () => Promise<void>) => {
    queue = queue.then(work).catch((error: unknown) => log.warn(`failed to follow the app's health: ${messageOf(error)}`));
    return queue;
  };
  const unfollow = app.onHealth((healthy) => {
    void enqueue(healthy ? onHealthy : () => inbound.stop()).then(() => {
      if (healthy) started.resolve();
    });
  });
  return {
    started: started.promise,
    stopForever() {
      over = true;
      unfollow();
      started.resolve();
      // Not behind the queue: a start that still asks the app gives up at once.
      return inbound.stopForever();
    },
  };
}

/** GET /dapr/config: what it says concerns actors; an app without it is no error. */
async function askForConfig({ app, appId, asksConfig, log, signal }: AppSubscriberPorts): Promise<void> {
  if (app.channel === null || app.channel.grpc !== null) return;
  if (!asksConfig) {
    log.warn("Skipping programmatic dapr configuration loading (see 'disable-init-endpoints' flag/annotation)");
    return;
  }
  try {
    const headers = { "dapr-app-id": [appId] };
    const request = {
      verb: "GET",
      method: "dapr/config",
      query: "",
      headers,
      contentType: "application/json",
      body: null,
      contentLength: 0,
    };
    const { status, body } = await app.channel.invoke(request, signal);
    if (!(body instanceof Uint8Array)) body.destroy();
    if (status === 200) log.info("Application configuration loaded");
  } catch (error) {
    log.debug(`application configuration could not be loaded: ${messageOf(error)}`);
  }
}
