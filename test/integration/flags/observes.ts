// A test that names the flags and environment variables whose effect it observes. flag-table.test.ts reads these names
// out of the sources of this folder and holds them against the table in sidecar/flags.ts.
import { type TestContext, test } from "node:test";

export interface ObservesOptions {
  /** Why the test does not run; false runs it. */
  readonly skip?: string | false;
}

/** `names` must be literals: they are read from the source. */
export function observes(
  names: readonly string[],
  title: string,
  body: (context: TestContext) => Promise<void>,
  options: ObservesOptions = {},
): void {
  test(`[${names.join(", ")}] ${title}`, { skip: options.skip ?? false }, body);
}
