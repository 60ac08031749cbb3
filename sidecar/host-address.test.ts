import assert from "node:assert/strict";
import { test } from "node:test";
import { bestInterfaceAddress, findHostAddress } from "./host-address.ts";
import { stablePort } from "./internal-port.ts";

const at = (address: string, internal = false) => ({ address, internal });

test("interface addresses are ranked: public v4, global v6, private v4, unique local v6, link-local", () => {
  const ranked = ["8.8.8.8", "2a00::1", "10.0.0.1", "fd00::1", "fe80::1"];
  for (let first = 0; first < ranked.length; first++) {
    assert.equal(bestInterfaceAddress([...ranked.slice(first)].reverse().map((a) => at(a))), ranked[first]);
  }
  assert.equal(bestInterfaceAddress([at("127.0.0.1", true), at("192.0.0.4")]), null);
});

test("DAPR_HOST_IP wins", async () => {
  assert.equal(await findHostAddress("10.1.2.3"), "10.1.2.3");
});

test("the internal port is stable, in range, and differs by app", () => {
  const place = { appId: "a", workingDirectory: "/w", userId: 1, hostName: "h" };
  assert.equal(stablePort(place), stablePort({ ...place }));
  const ports = new Set(["a", "b", "c", "d"].map((appId) => stablePort({ ...place, appId })));
  assert.equal(ports.size, 4);
  for (const port of ports) assert.ok(port >= 47_300 && port < 65_535);
});
