// Ports that no other test gets: each test process locks a block of ports below the kernel's ephemeral range by listening on the
// block's first port for as long as it lives, and hands out the rest. A reservation cannot be lost between choosing and binding,
// since neither bind(0) of anyone nor another test process ever takes a port of the block.
import { createServer, type Server } from "node:net";

const firstPort = 10_000;
const blockPorts = 64;
const blocks = 340;

interface Block {
  readonly lock: Server;
  readonly first: number;
  next: number;
}

let block: Promise<Block> | null = null;

/** `count` ports for this process only; nobody else listens on them now. */
export async function reservePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) {
    const port = await nextPort();
    if (await isFree(port)) ports.push(port);
  }
  return ports;
}

async function nextPort(): Promise<number> {
  block ??= lockBlock();
  const held = await block;
  // Wrapping around is fine: by then the first ones have long been closed, and the probe skips those that are not.
  held.next = held.next >= blockPorts - 1 ? 1 : held.next + 1;
  return held.first + held.next;
}

async function lockBlock(): Promise<Block> {
  const start = (process.pid * 7) % blocks;
  for (let step = 0; step < blocks; step++) {
    const first = firstPort + ((start + step) % blocks) * blockPorts;
    const lock = await tryListen(first);
    if (lock === null) continue;
    lock.unref();
    return { lock, first, next: 0 };
  }
  throw new Error(`all ${blocks} blocks of test ports are taken: end the test processes that hold them`);
}

function tryListen(port: number): Promise<Server | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(null));
    server.listen({ port, host: "0.0.0.0", exclusive: true }, () => resolve(server));
  });
}

async function isFree(port: number): Promise<boolean> {
  const server = await tryListen(port);
  if (server === null) return false;
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return true;
}
