// Real Redis servers for tests of drivers: on a port of their own choosing, without disk, gone with the test.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "redis";
import { FakeClock } from "../../lib/kit/fake-clock.ts";

export interface RedisServerOptions {
  /** Lines of redis.conf, after ours. */
  readonly config?: readonly string[];
  readonly sentinel?: boolean;
  readonly password?: string;
  readonly tls?: { readonly ca: string; readonly cert: string; readonly key: string };
}

const readyWithinMs = 20_000;

export class RedisTestServer implements AsyncDisposable {
  readonly port: number;
  readonly #folder: string;
  readonly #options: RedisServerOptions;
  #child: ChildProcess | null = null;

  private constructor(port: number, options: RedisServerOptions) {
    this.port = port;
    this.#options = options;
    this.#folder = mkdtempSync(join(tmpdir(), "outrigger-redis-"));
  }

  static async start(options: RedisServerOptions = {}): Promise<RedisTestServer> {
    const server = new RedisTestServer(await freePort(), options);
    await server.restart();
    return server;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Starts it, again when it was stopped. What was written without `appendonly` is gone. */
  async restart(): Promise<void> {
    const { config = [], sentinel = false, password, tls } = this.#options;
    const port = tls === undefined ? [`port ${this.port}`] : ["port 0", `tls-port ${this.port}`, ...this.#tlsLines(tls)];
    const disk = sentinel ? [] : ['save ""', "appendonly no"];
    const login = password === undefined ? [] : [`requirepass ${password}`];
    const file = join(this.#folder, "redis.conf");
    writeFileSync(file, [...port, "bind 127.0.0.1", `dir ${this.#folder}`, ...disk, ...login, ...config].join("\n"));
    const args = sentinel ? [file, "--sentinel"] : [file];
    this.#child = spawn("redis-server", args, { stdio: ["ignore", "pipe", "inherit"] });
    const output: string[] = [];
    this.#child.stdout?.on("data", (chunk: Buffer) => output.push(chunk.toString()));
    process.once("exit", this.#kill);
    const ready = new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`redis-server is not ready:\n${output.join("")}`)), readyWithinMs);
      const look = () => {
        if (!/Ready to accept connections|Sentinel ID is/.test(output.join(""))) return;
        clearTimeout(timer);
        resolve();
      };
      this.#child?.stdout?.on("data", look);
      this.#child?.once("exit", () => reject(new Error(`redis-server ended:\n${output.join("")}`)));
      this.#child?.once("error", reject);
    });
    await ready;
  }

  /** Kills it, as a crash would. */
  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    process.off("exit", this.#kill);
    if (child === null || child.exitCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  }

  signal(name: "SIGSTOP" | "SIGCONT"): void {
    this.#child?.kill(name);
  }

  /** One command with a client of its own, replies as strings. */
  async command(...args: string[]): Promise<unknown> {
    const { password, tls } = this.#options;
    const secure = tls === undefined ? {} : { tls: true as const, ca: tls.ca, rejectUnauthorized: false };
    const client = createClient({
      socket: { host: "127.0.0.1", port: this.port, ...secure },
      ...(password === undefined ? {} : { password }),
      RESP: 2,
    });
    // A server that fails over ends its clients' connections; the command tells.
    client.on("error", () => {});
    await client.connect();
    try {
      return await client.sendCommand(args);
    } finally {
      client.destroy();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #kill = (): void => void this.#child?.kill("SIGKILL");

  #tlsLines(tls: { readonly ca: string; readonly cert: string; readonly key: string }): string[] {
    const lines: string[] = [];
    for (const [name, pem] of [
      ["tls-ca-cert-file", tls.ca],
      ["tls-cert-file", tls.cert],
      ["tls-key-file", tls.key],
    ] as const) {
      const file = join(this.#folder, `${name}.pem`);
      writeFileSync(file, pem, { mode: 0o600 });
      lines.push(`${name} ${file}`);
    }
    return lines;
  }
}

/** Below the ephemeral range nobody is given a port by accident; between choosing and listening only another test could take it. */
async function freePort(): Promise<number> {
  for (;;) {
    // A cluster node listens 10000 higher too.
    const port = 11_000 + Math.floor(Math.random() * 11_000);
    const server = createServer().listen(port, "127.0.0.1");
    const free = await Promise.race([once(server, "listening").then(() => true), once(server, "error").then(() => false)]);
    if (!free) continue;
    const chosen = (server.address() as AddressInfo).port;
    await new Promise((resolve) => server.close(resolve));
    return chosen;
  }
}

/** A clock whose time passes on the server as well: every key that expires does so that much earlier. */
export class RedisServerClock extends FakeClock {
  readonly #server: RedisTestServer;

  constructor(server: RedisTestServer) {
    super();
    this.#server = server;
  }

  override async advance(byMs: number): Promise<void> {
    const script = `for _, key in ipairs(redis.call('KEYS', '*')) do
      local left = redis.call('PTTL', key)
      if left >= 0 then redis.call('PEXPIRE', key, left - ARGV[1]) end
    end`;
    await this.#server.command("EVAL", script, "0", String(byMs));
    await super.advance(byMs);
  }
}
