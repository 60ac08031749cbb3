// Free TCP ports below the ephemeral range: from 32768 on the system gives ports to outgoing connections, which would take
// one between our look and the sidecar's bind. All of a run's ports are held open together until the last one is known,
// so that two of them are never the same.
import { randomInt } from "node:crypto";
import { createServer, type Server } from "node:net";

const lowest = 10_000;
const beyond = 32_768;
/** Tries per port before we say that the machine has none. */
const triesMax = 100;

function listen(port: number): Promise<Server | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(null));
    server.listen({ port, host: "0.0.0.0", exclusive: true }, () => resolve(server));
  });
}

async function listenAnywhere(): Promise<Server> {
  for (let tries = 0; tries < triesMax; tries++) {
    const server = await listen(randomInt(lowest, beyond));
    if (server !== null) return server;
  }
  throw new Error(`no free port from ${lowest} to ${beyond - 1} after ${triesMax} tries: stop what holds them, or name ports with flags`);
}

/** `count` different ports that nobody listened on a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(Array.from({ length: count }, listenAnywhere));
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))));
  return ports;
}
