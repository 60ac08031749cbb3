// Children and the guard on real processes: there is no other way to see what the kernel does with groups and pipes.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { systemClock } from "../../lib/kit/clock.ts";
import { Child, describeExit, shellCode } from "./child.ts";
import { Guard } from "./guard.ts";
import { freePorts } from "./ports.ts";
import { startToken } from "./proc.ts";

const guard = new Guard();
after(() => process.kill(guard.pid, "SIGKILL"));

function sh(script: string): Promise<Child> {
  return Child.start({ command: "sh", args: ["-c", script], cwd: "/", env: process.env, inheritStdin: false }, guard, systemClock);
}

async function firstLine(child: Child): Promise<string> {
  const [chunk] = (await once(child.stdout, "data")) as [Buffer];
  return chunk.toString().trim();
}

/** Polls until the process is gone, for at most 20 s. */
async function gone(pid: number): Promise<boolean> {
  const until = performance.now() + 20_000;
  while (startToken(pid) !== null) {
    if (performance.now() > until) return false;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return true;
}

test("a child's end is told as it was", async () => {
  assert.deepEqual(await (await sh("exit 3")).exited, { code: 3, signal: null });
  assert.deepEqual(await (await sh("kill -s KILL $$")).exited, { code: null, signal: "SIGKILL" });
  assert.equal(shellCode({ code: null, signal: "SIGTERM" }), 143);
  assert.equal(describeExit({ code: 2, signal: null }), "exit status 2");
});

test("the pid is the program's, in a group of its own, with nothing of the gate left open", async () => {
  const gate = "[ -e /proc/$$/fd/3 ] && gate=open || gate=closed";
  const child = await sh(`${gate}; echo $$ $(cut -d' ' -f5 /proc/$$/stat) $gate`);
  assert.equal(await firstLine(child), `${child.pid} ${child.pid} closed`);
  await child.exited;
});

test("stop waits for a program that obeys and kills one that does not", async () => {
  const obedient = await sh("trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done");
  await firstLine(obedient);
  assert.deepEqual(await obedient.stop(20_000), { code: 5, signal: null });
  const stubborn = await sh("trap '' TERM; echo up; while :; do sleep 0.05; done");
  await firstLine(stubborn);
  assert.deepEqual(await stubborn.stop(50), { code: null, signal: "SIGKILL" });
  assert.equal(stubborn.signal(0), false);
});

test("what a program leaves in its group ends with it", async () => {
  const child = await sh("sleep 300 & echo $!");
  const left = Number(await firstLine(child));
  assert.deepEqual(await child.exited, { code: 0, signal: null });
  assert.ok(await gone(left));
});

test("children end when their parent is killed", async () => {
  const source = `
    import { Child } from ${JSON.stringify(fileURLToPath(new URL("./child.ts", import.meta.url)))};
    import { Guard } from ${JSON.stringify(fileURLToPath(new URL("./guard.ts", import.meta.url)))};
    const clock = { now: () => 0, monotonic: () => 0, after: () => ({ cancel() {} }) };
    const options = { command: "sleep", args: ["300"], cwd: "/", env: process.env, inheritStdin: false };
    const child = await Child.start(options, new Guard(), clock);
    console.log(child.pid);
  `;
  const parent = spawn(process.execPath, ["--input-type=module", "-e", source], { stdio: ["ignore", "pipe", "inherit"] });
  const [chunk] = (await once(parent.stdout, "data")) as [Buffer];
  const pid = Number(chunk.toString());
  assert.notEqual(startToken(pid), null);
  parent.kill("SIGKILL");
  assert.ok(await gone(pid));
});

test("free ports are all different", async () => {
  const ports = await freePorts(20);
  assert.equal(new Set(ports).size, 20);
});
