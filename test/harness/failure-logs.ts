// Logs of the processes a test started, printed when the test fails. `await using` cannot know of a failure, so the
// logs are remembered here and a hook of node:test looks at the verdict.
import { afterEach, type TestContext } from "node:test";

const shownLines = 200;
const started: { readonly name: string; readonly lines: readonly string[] }[] = [];
/** Outside a test file (bench, tools) importing node:test's hooks would start a test run. */
const inTestFile = process.argv.some((word) => /\.test\.[cm]?[jt]s$/.test(word));

if (inTestFile) {
  afterEach((context) => {
    const failed = "passed" in context && (context as TestContext).passed === false;
    const logs = started.splice(0);
    if (!failed) return;
    for (const { name, lines } of logs)
      process.stderr.write(`--- log of ${name} ---\n${lines.slice(-shownLines).join("\n")}\n--- end ---\n`);
  });
}

/** Shows `lines` (which may still grow) when the running test fails. */
export function remember(name: string, lines: readonly string[]): void {
  if (inTestFile) started.push({ name, lines });
}
