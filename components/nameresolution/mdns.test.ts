import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { test } from "node:test";
import { systemClock } from "../../lib/kit/clock.ts";
import { FakeClock } from "../../lib/kit/fake-clock.ts";
import { decodeMessage } from "../shared/dns-message.ts";
import { openMulticast } from "../shared/multicast-socket.ts";
import { driverContext } from "../shared/test-context.ts";
import { createOn } from "./mdns.ts";
import { browseQuery, compileService, readSightings } from "./mdns-records.ts";

const never = new AbortController().signal;

/** A network in memory: every message reaches everybody, the sender included. */
class Network {
  readonly #members = new Set<(message: Buffer) => void>();
  readonly sent: Buffer[] = [];
  /** Loses messages while set. */
  down = false;
  readonly open = async (_group: string, _port: number, onMessage: (message: Buffer) => void) => {
    this.#members.add(onMessage);
    return {
      send: async (message: Buffer) => {
        this.sent.push(message);
        if (!this.down) for (const member of [...this.#members]) member(message);
      },
      close: async () => void this.#members.delete(onMessage),
    };
  };
}

const request = (appId: string) => ({ appId, namespace: "default", port: 0 });

async function resolverOn(network: Network, clock: FakeClock, registered?: { appId: string; port: number }) {
  const resolver = createOn(driverContext("nameresolution.mdns", {}, clock), 5353, network.open);
  await resolver.init(never);
  if (registered) await resolver.register({ ...registered, namespace: "default", host: "192.0.2.1" }, never);
  return resolver;
}

test("a registered app is found, with all its instances; a leaving one is forgotten at once", async () => {
  const network = new Network();
  const clock = new FakeClock();
  const first = await resolverOn(network, clock, { appId: "app", port: 1 });
  await resolverOn(network, clock, { appId: "other", port: 9 });
  const client = await resolverOn(network, clock);
  assert.deepEqual(await client.resolve(request("app"), never), ["192.0.2.1:1"]);
  await resolverOn(network, clock, { appId: "app", port: 2 });
  assert.deepEqual(await client.resolve(request("app"), never), ["192.0.2.1:1", "192.0.2.1:2"]);
  await first.close();
  assert.deepEqual(await client.resolve(request("app"), never), ["192.0.2.1:2"]);
  client.invalidate(request("app"), "192.0.2.1:2");
  network.down = true;
  const failed = assert.rejects(client.resolve(request("app"), never), /couldn't find service: app/);
  await clock.advance(1000);
  await failed;
});

test("an unknown app fails after one second of browsing; callers share one browse, and a lost question is repeated", async () => {
  const network = new Network();
  const clock = new FakeClock();
  const client = await resolverOn(network, clock);
  const all = Promise.allSettled([client.resolve(request("nobody"), never), client.resolve(request("nobody"), never)]);
  await clock.advance(1000);
  assert.deepEqual(
    (await all).map(({ status }) => status),
    ["rejected", "rejected"],
  );
  assert.equal(network.sent.length, 2);
  network.down = true;
  await resolverOn(network, clock, { appId: "late", port: 3 });
  const late = client.resolve(request("late"), never);
  network.down = false;
  await clock.advance(300);
  assert.deepEqual(await late, ["192.0.2.1:3"]);
});

test("known apps are asked again every 30 s and expire after 60 s without an answer", async () => {
  const network = new Network();
  const clock = new FakeClock();
  await resolverOn(network, clock, { appId: "app", port: 1 });
  const client = await resolverOn(network, clock);
  await client.resolve(request("app"), never);
  for (let i = 0; i < 5; i++) await clock.advance(30_000);
  assert.deepEqual(await client.resolve(request("app"), never), ["192.0.2.1:1"]);
  network.down = true;
  await clock.advance(60_000);
  const failed = assert.rejects(client.resolve(request("app"), never));
  await clock.advance(1000);
  await failed;
});

test("what is announced can be read, and only the app that is asked for answers", () => {
  const service = compileService({ appId: "app", host: "fd00::2", port: 7, hostName: "my.host", pid: 42 });
  const announced = decodeMessage(service.announcement);
  assert.ok(announced);
  assert.deepEqual(readSightings(announced), [{ appId: "app", address: "[fd00:0:0:0:0:0:0:2]:7", gone: false }]);
  const ask = (appId: string) => service.answer(decodeMessage(browseQuery(appId))?.questions ?? []);
  assert.ok(ask("app"));
  assert.equal(ask("ap"), null);
  const goodbye = decodeMessage(service.goodbye);
  assert.ok(goodbye);
  assert.deepEqual(
    readSightings(goodbye).map(({ gone }) => gone),
    [true],
  );
});

test("over real sockets, on whatever interfaces this machine has", async (t) => {
  const probe = createSocket({ type: "udp4", reuseAddr: true }).bind(0, "0.0.0.0");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  const resolver = () => createOn(driverContext("nameresolution.mdns", {}, systemClock), port, openMulticast);
  const [server, client] = [resolver(), resolver()];
  t.after(() => Promise.all([server.close(), client.close()]));
  await server.init(never);
  await client.init(never);
  await server.register({ appId: "real-app", namespace: "default", host: "127.0.0.1", port: 4321 }, never);
  assert.deepEqual(await client.resolve(request("real-app"), never), ["127.0.0.1:4321"]);
});
