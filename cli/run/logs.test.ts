import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import fc from "fast-check";
import { LineSplitter, lineMaxChars, linePrefix, logFilePath, ProgramLog, wantsColour } from "./logs.ts";

function split(chunks: readonly Buffer[]): string[] {
  const lines: string[] = [];
  const splitter = new LineSplitter((line) => lines.push(line));
  for (const chunk of chunks) splitter.write(chunk);
  splitter.end();
  return lines;
}

test("lines come whole however the bytes are cut", () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: "grapheme", minLength: 1 })), fc.integer({ min: 1, max: 7 }), (words, size) => {
      const lines = words.map((word) => word.replace(/[\r\n]/g, "_"));
      const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(""));
      const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) => bytes.subarray(index * size, (index + 1) * size));
      assert.deepEqual(split(chunks), lines);
    }),
  );
});

test("CRLF, a last line without newline and endless lines are handled", () => {
  assert.deepEqual(split([Buffer.from("a\r\nb")]), ["a", "b"]);
  assert.deepEqual(split([Buffer.from("\n\n")]), ["", ""]);
  const lines = split([Buffer.alloc(lineMaxChars * 2 + 5, "x")]);
  assert.deepEqual(
    lines.map((line) => line.length),
    [lineMaxChars, lineMaxChars, 5],
  );
});

test("colours follow the terminal and the user", () => {
  assert.equal(wantsColour(true, {}), true);
  assert.equal(wantsColour(false, {}), false);
  assert.equal(wantsColour(true, { NO_COLOR: "1" }), false);
  assert.equal(wantsColour(false, { FORCE_COLOR: "1" }), true);
  assert.equal(wantsColour(false, { FORCE_COLOR: "0" }), false);
});

test("prefixes are those of Dapr's CLI", () => {
  assert.equal(linePrefix("APP", null, 0, false), "== APP == ");
  assert.equal(linePrefix("DAPRD", "shop", 0, false), "== DAPRD - shop == ");
  assert.notEqual(linePrefix("APP", "a", 0, true), linePrefix("APP", "a", 1, true));
});

test("log files are named as Dapr's CLI names them", () => {
  const path = logFilePath("/shop", "orders", "daprd", new Date(Date.UTC(2026, 10, 2, 3, 4, 5)));
  assert.equal(path, "/shop/.dapr/logs/orders_daprd_20261102030405.log");
});

test("a program's lines go to the console with its prefix and to the file without", async () => {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-logs-"));
  const file = join(folder, "deep", "app.log");
  const shown: string[] = [];
  const log = new ProgramLog({ destination: "fileAndConsole", file, prefix: "== APP == ", console: (text) => shown.push(text) });
  const source = new PassThrough();
  log.follow(source);
  source.end("one\ntwo");
  await log.close();
  assert.deepEqual(shown, ["== APP == one\n", "== APP == two\n"]);
  assert.equal(readFileSync(file, "utf8"), "one\ntwo\n");
  assert.deepEqual(log.tail, ["one", "two"]);
  rmSync(folder, { recursive: true });
});

test("with the destination file the console stays quiet, and only the last lines are kept", async () => {
  const shown: string[] = [];
  const log = new ProgramLog({ destination: "file", file: null, prefix: "", console: (text) => shown.push(text) });
  const source = new PassThrough();
  log.follow(source);
  source.end(Array.from({ length: 50 }, (_, index) => `line ${index}\n`).join(""));
  await log.close();
  assert.deepEqual(shown, []);
  assert.equal(log.tail.length, ProgramLog.keptLines);
  assert.equal(log.tail.at(-1), "line 49");
});
