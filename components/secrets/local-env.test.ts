import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../../lib/kit/clock.ts";
import { driverContext } from "../shared/test-context.ts";
import { create } from "./local-env.ts";

const signal = new AbortController().signal;
const environment = {
  PLAIN: "1",
  MYAPP_A: "a",
  MYAPP_: "empty name",
  APP_API_TOKEN: "t",
  app_api_token: "t",
  DAPR_API_TOKEN: "t",
  Dapr_X: "t",
};

function open(prefix: string) {
  const store = create(driverContext("secretstores.local.env", { prefix }, systemClock), environment);
  return {
    get: async (name: string) => ({ ...(await store.get(name, {}, signal)) }),
    names: async () => [...(await store.bulkGet({}, signal)).keys()],
  };
}

test("variables by name; what is not set is empty", async () => {
  const { get, names } = open("");
  assert.deepEqual(await get("PLAIN"), { PLAIN: "1" });
  assert.deepEqual(await get("NOT_SET"), { NOT_SET: "" });
  assert.deepEqual(await get("toString"), { toString: "" });
  assert.deepEqual(await names(), ["PLAIN", "MYAPP_A", "MYAPP_"]);
});

test("the prefix stands before every name", async () => {
  const { get, names } = open("MYAPP_");
  assert.deepEqual(await get("A"), { A: "a" });
  assert.deepEqual(await names(), ["A"]);
});

test("the sidecar's own variables are hidden, however they are spelt or asked for", async () => {
  for (const name of ["APP_API_TOKEN", "app_api_token", "DAPR_API_TOKEN", "Dapr_X"])
    assert.deepEqual(await open("").get(name), { [name]: "" });
  assert.deepEqual(await open("DAPR_").get("API_TOKEN"), { API_TOKEN: "" });
  assert.deepEqual(await open("APP_").get("API_TOKEN"), { API_TOKEN: "" });
  assert.deepEqual(await open("DAPR_").names(), []);
});

test("by default it is this process's environment", async () => {
  const store = create(driverContext("secretstores.local.env", {}, systemClock));
  assert.equal((await store.get("PATH", {}, signal))["PATH"], process.env["PATH"]);
});
