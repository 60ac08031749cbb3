import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { startToken } from "../process/proc.ts";
import { ageText, createdText, type Instance, instanceTable, outputOf } from "./instance.ts";
import { type RunApp, readRunStates, removeRunState, writeRunState } from "./registry.ts";
import { findSidecars } from "./scan.ts";

const instance: Instance = {
  appId: "shop",
  httpPort: 3500,
  grpcPort: 50001,
  appPort: 6001,
  metricsEnabled: true,
  command: "node a-very-long-command.js",
  age: "5s",
  created: "2026-11-02 03:04.05",
  daprdPid: 10,
  cliPid: 9,
  appPid: 11,
  runTemplatePath: "/demo/dapr.yaml",
  appLogPath: "",
  daprdLogPath: "",
  runTemplateName: "demo",
};

test("ages show the largest unit", () => {
  assert.deepEqual([-5, 0, 59_999, 60_000, 3_599_999, 3_600_000, 86_400_000 * 2].map(ageText), [
    "0s",
    "0s",
    "59s",
    "1m",
    "59m",
    "1h",
    "2d",
  ]);
  assert.match(createdText(new Date(2026, 10, 2, 3, 4, 5)), /^2026-11-02 03:04\.05$/);
});

test("the table has Dapr's columns and cuts long commands", () => {
  const [head, row] = instanceTable([instance]).split("\n") as [string, string];
  assert.match(
    head,
    /^APP ID {2}HTTP PORT {2}GRPC PORT {2}APP PORT {2}COMMAND +AGE +CREATED +DAPRD PID {2}CLI PID {2}APP PID {2}RUN_TEMPLATE_PATH/,
  );
  assert.match(row, /^shop {4}3500 {7}50001 {6}6001 {6}node a-very-long-\.\.\. {2}5s/);
  assert.equal(head.indexOf("CREATED"), row.indexOf("2026-11-02"));
});

test("output has its fields in order and no others", () => {
  const more = { ...instance, ours: true };
  assert.deepEqual(Object.keys(outputOf(more)), Object.keys(instance));
});

test("sidecars are known by their command lines", () => {
  const found = findSidecars([
    { pid: 1, argv: ["/usr/bin/daprd", "--app-id", "a", "--dapr-http-port=3501", "-dapr-grpc-port", "50002", "--app-port", "80"] },
    { pid: 2, argv: ["/x/node", "--no-warnings", "/x/dist/daprd.mjs", "--app-id=b", "--enable-metrics=false"] },
    { pid: 3, argv: ["vim", "/etc/daprd", "--app-id", "c"] },
    { pid: 4, argv: ["daprd", "--version"] },
    { pid: 5, argv: ["sh", "-c", "daprd --app-id d"] },
  ]);
  assert.deepEqual(found, [
    { pid: 1, appId: "a", httpPort: 3501, grpcPort: 50002, appPort: 80, metricsEnabled: true },
    { pid: 2, appId: "b", httpPort: 3500, grpcPort: 50001, appPort: 0, metricsEnabled: false },
  ]);
});

test("a run's state is read while it lives, and removed when it does not", () => {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-states-"));
  const { age: _, created: __, cliPid: ___, ...rest } = instance;
  const app: RunApp = { ...rest, createdAt: 5, daprdStart: "100" };
  const tokens = new Map([
    [9, "90"],
    [10, "100"],
  ]);
  const tokenOf = (pid: number) => tokens.get(pid) ?? null;
  writeRunState(folder, { cliPid: 9, cliStart: "90", apps: [app, { ...app, appId: "gone", daprdPid: 12 }] });
  writeRunState(folder, { cliPid: 8, cliStart: "80", apps: [app] });
  writeFileSync(join(folder, "7.json"), "{ half");
  assert.deepEqual(
    readRunStates(folder, tokenOf).map((run) => [run.cliPid, run.apps.map((entry) => entry.appId)]),
    [[9, ["shop"]]],
  );
  assert.deepEqual(readdirSync(folder), ["9.json"]);
  tokens.set(9, "91");
  assert.deepEqual(readRunStates(folder, tokenOf), [], "the pid belongs to someone else now");
  assert.deepEqual(readdirSync(folder), []);
  removeRunState(folder, 9);
  assert.deepEqual(readRunStates(join(folder, "missing"), tokenOf), []);
  rmSync(folder, { recursive: true });
});

test("a process has a start token while it lives", () => {
  assert.match(startToken(process.pid) ?? "", /\d/);
  assert.equal(startToken(2 ** 22 + 1), null);
});
