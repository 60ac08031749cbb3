import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type FlagSpec, flagsHelp, parseFlags, UsageError } from "./flags.ts";

const specs: readonly FlagSpec[] = [
  { name: "app-id", short: "a", kind: "string", help: "the id" },
  { name: "port", short: "p", kind: "number", help: "the port" },
  { name: "quiet", short: "q", kind: "boolean", help: "less words" },
  { name: "path", kind: "list", help: "folders" },
  { name: "old", kind: "string", help: "gone", hidden: true },
];

test("every spelling of a value is read", () => {
  for (const words of [["--app-id", "x"], ["--app-id=x"], ["-a", "x"], ["-ax"], ["-a=x"]]) {
    assert.equal(parseFlags(specs, words, false).string("app-id"), "x", words.join(" "));
  }
  assert.equal(parseFlags(specs, ["--port", "-1"], false).number("port"), -1);
  assert.equal(parseFlags(specs, ["--app-id="], false).string("app-id"), "");
});

test("booleans need no value and take one after =", () => {
  assert.equal(parseFlags(specs, ["--quiet", "word"], true).boolean("quiet"), true);
  assert.equal(parseFlags(specs, ["--quiet=false"], true).boolean("quiet"), false);
  assert.equal(parseFlags(specs, [], true).boolean("quiet"), undefined);
});

test("the last value wins, lists collect", () => {
  const flags = parseFlags(specs, ["-a", "x", "--path", "1,2", "-a", "y", "--path=3"], false);
  assert.equal(flags.string("app-id"), "y");
  assert.deepEqual(flags.list("path"), ["1", "2", "3"]);
});

test("the user's command is left alone", () => {
  const command = ["node", "app.js", "--port", "many", "-z"];
  assert.deepEqual(parseFlags(specs, ["-a", "x", "--", ...command], false).rest, command);
  assert.deepEqual(parseFlags(specs, ["-a", "x", ...command], false).rest, command);
});

test("words between flags are collected when asked for", () => {
  const flags = parseFlags(specs, ["one", "-q", "two"], true);
  assert.deepEqual(flags.rest, ["one", "two"]);
  assert.equal(flags.boolean("quiet"), true);
});

test("mistakes name the flag", () => {
  const cases: [string[], RegExp][] = [
    [["--nope"], /unknown flag: --nope/],
    [["-x"], /unknown shorthand flag: 'x' in -x/],
    [["--app-id"], /flag needs an argument: --app-id/],
    [["--port", "x"], /invalid argument "x" for "--port"/],
    [["--quiet=perhaps"], /invalid argument "perhaps"/],
  ];
  for (const [words, message] of cases) assert.throws(() => parseFlags(specs, words, false), message);
});

test("any words give flags or a usage error, and what follows -- is untouched", () => {
  fc.assert(
    fc.property(fc.array(fc.string()), fc.array(fc.string()), (words, command) => {
      try {
        const { rest } = parseFlags(specs, [...words.filter((word) => word !== "--"), "--", ...command], true);
        assert.deepEqual(rest.slice(rest.length - command.length), command);
      } catch (error) {
        assert.ok(error instanceof UsageError);
      }
    }),
  );
});

test("the help lists what is not hidden", () => {
  const help = flagsHelp(specs);
  assert.match(help, /^ {2}-a, --app-id string {3}the id$/m);
  assert.match(help, /^ {6}--path strings {4}folders$/m);
  assert.doesNotMatch(help, /--old/);
});
