import assert from "node:assert/strict";
import { resolve } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { type MetadataError, Properties } from "../metadata.ts";
import { isSqlIdentifier, parseConnectionString, readSqliteSettings } from "./sqlite-settings.ts";

function read(metadata: Record<string, string>) {
  const properties = new Properties(Object.entries(metadata));
  const settings = readSqliteSettings(properties);
  properties.check();
  return settings;
}

test("defaults", () => {
  const settings = read({ connectionString: "data.db" });
  assert.deepEqual(settings, {
    target: { uri: `file:${resolve("data.db")}`, path: resolve("data.db"), readOnly: false, writeAheadLog: true, pragmas: [] },
    timeoutMs: 20_000,
    busyTimeoutMs: 20_000,
    warnings: [],
  });
});

test("aliases and timeouts", () => {
  const settings = read({ url: "file:data.db", timeoutInSeconds: "1200", busyTimeout: "2s", disableWAL: "true" });
  assert.equal(settings.timeoutMs, 1_200_000);
  assert.equal(settings.busyTimeoutMs, 2000);
  assert.equal(settings.target.writeAheadLog, false);
  assert.equal(settings.target.path, resolve("data.db"));
});

test("the forms of a file", () => {
  for (const [text, path] of [
    ["file:/a/b.db", "/a/b.db"],
    ["file:///a/b.db", "/a/b.db"],
    ["file://localhost/a/b.db?mode=rwc", "/a/b.db"],
    ["FILE:a%20b.db", resolve("a b.db")],
    ["a%C3%A9%zz.db", resolve("aé%zz.db")],
    ["/a/100%25?cache=shared", "/a/100%"],
  ] as const) {
    assert.equal(read({ connectionString: text }).target.path, path, text);
  }
  assert.equal(read({ connectionString: "/a/what%3F%23.db" }).target.uri, "file:/a/what%3f%23.db");
});

test("in memory", () => {
  for (const text of [":memory:", "file::memory:", "file::memory:?cache=shared", "file:x?mode=memory"]) {
    assert.equal(read({ connectionString: text }).target.uri, ":memory:", text);
    assert.equal(read({ connectionString: text }).target.path, null);
  }
});

test("read-only forms never change the journal", () => {
  assert.deepEqual(read({ connectionString: "/a.db?mode=ro" }).target, {
    uri: "file:/a.db?mode=ro",
    path: "/a.db",
    readOnly: true,
    writeAheadLog: false,
    pragmas: [],
  });
  assert.equal(read({ connectionString: "/a.db?immutable=1" }).target.uri, "file:/a.db?immutable=1");
});

test("pragmas are passed on, but not those that are ours", () => {
  assert.deepEqual(read({ connectionString: "a.db?_pragma=cache_size(-2000)&_pragma=temp_store%3Dmemory" }).target.pragmas, [
    "cache_size(-2000)",
    "temp_store=memory",
  ]);
  for (const pragma of ["busy_timeout(1)", "journal_mode(DELETE)", "foreign_keys(1)", "Synchronous=OFF"]) {
    assert.throws(() => read({ connectionString: `a.db?_pragma=${encodeURIComponent(pragma)}` }), /found forbidden option '_pragma=/);
  }
  assert.throws(() => read({ connectionString: "a.db?_pragma=x%3B%20DROP%20TABLE%20t" }), /invalid option '_pragma=/);
  assert.match(read({ connectionString: "a.db?_txlock=deferred" }).warnings[0] ?? "", /_txlock=deferred/);
});

test("every problem is reported at once", () => {
  const problems = ((): readonly string[] => {
    try {
      read({ timeout: "500ms" });
    } catch (error) {
      return (error as MetadataError).problems;
    }
    return [];
  })();
  assert.equal(problems.length, 2);
  assert.match(problems[0] ?? "", /invalid value for 'timeout'/);
  assert.match(problems[1] ?? "", /missing connection string/);
});

test("whatever the text, a path without options leads back to itself", () => {
  fc.assert(
    fc.property(fc.stringMatching(/^[a-zA-Z0-9%?# +&=é.-]{1,30}$/), (name) => {
      const written = `/d/${encodeURIComponent(name)}`;
      const problems: string[] = [];
      const target = parseConnectionString(written, true, (text) => problems.push(text), []);
      assert.equal(problems.length, 0);
      assert.equal(target.path, resolve(`/d/${name}`));
      const again = parseConnectionString(target.uri, true, (text) => problems.push(text), []);
      assert.equal(again.path, target.path);
    }),
  );
});

test("identifiers", () => {
  assert.ok(isSqlIdentifier("state_1"));
  for (const bad of ["", "a b", "a;", "a-b", '"a"', "é"]) assert.ok(!isSqlIdentifier(bad), bad);
});
