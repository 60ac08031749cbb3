// Several real Redis servers for tests: a cluster of three masters, and a master with a replica and a sentinel that fails over.
import { execFileSync } from "node:child_process";
import { RedisTestServer } from "./redis-test-server.ts";

const readyWithinMs = 30_000;

export interface TestCluster extends AsyncDisposable {
  readonly addresses: string;
  readonly servers: readonly RedisTestServer[];
}

export async function startCluster(): Promise<TestCluster> {
  const config = ["cluster-enabled yes", "cluster-node-timeout 2000"];
  const servers = await Promise.all([1, 2, 3].map(() => RedisTestServer.start({ config })));
  const addresses = servers.map(({ address }) => address);
  execFileSync("redis-cli", ["--cluster", "create", ...addresses, "--cluster-yes"], { stdio: "ignore" });
  for (const server of servers) {
    await until("the cluster is ready", async () => String(await server.command("CLUSTER", "INFO")).includes("cluster_state:ok"));
  }
  return { addresses: addresses.join(","), servers, [Symbol.asyncDispose]: () => dispose(servers) };
}

export interface TestSentinel extends AsyncDisposable {
  /** Of the sentinel. */
  readonly address: string;
  readonly masterName: string;
  readonly master: RedisTestServer;
  readonly replica: RedisTestServer;
}

export async function startSentinel(): Promise<TestSentinel> {
  const masterName = "mymaster";
  const master = await RedisTestServer.start({ config: ["repl-diskless-sync-delay 0"] });
  const replica = await RedisTestServer.start({ config: [`replicaof 127.0.0.1 ${master.port}`] });
  await until("the replica is in step", async () => /^slave0:.*state=online/m.test(String(await master.command("INFO", "replication"))));
  const config = [
    `sentinel monitor ${masterName} 127.0.0.1 ${master.port} 1`,
    `sentinel down-after-milliseconds ${masterName} 300`,
    `sentinel failover-timeout ${masterName} 2000`,
  ];
  const sentinel = await RedisTestServer.start({ sentinel: true, config });
  await until("the sentinel knows the replica", async () => {
    const replicas = (await sentinel.command("SENTINEL", "REPLICAS", masterName)) as readonly unknown[];
    return replicas.length === 1;
  });
  const all = [sentinel, replica, master];
  return { address: sentinel.address, masterName, master, replica, [Symbol.asyncDispose]: () => dispose(all) };
}

async function dispose(servers: readonly RedisTestServer[]): Promise<void> {
  await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()));
}

async function until(what: string, check: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + readyWithinMs;
  while (!(await check().catch(() => false))) {
    if (performance.now() > end) throw new Error(`${what}: not within ${readyWithinMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
