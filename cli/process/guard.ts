// The guard: a small POSIX sh that ends our children when we cannot, because we were killed with SIGKILL or crashed.
// It holds the read end of a pipe whose only write end is ours, so the end of this process, however it comes, is the end of
// the file. Until then it only keeps the list of process groups we tell it of. Chosen over PR_SET_PDEATHSIG (Linux only, no
// access from Node, lost on setuid exec, does not reach grandchildren) and over children watching a pipe (apps are not ours).
import { type ChildProcess, spawn } from "node:child_process";
import type { Writable } from "node:stream";

/** How long children get between SIGTERM and SIGKILL when the guard ends them, in seconds. */
const guardGraceSeconds = 10;

const script = `
trap '' INT TERM HUP QUIT
groups=
while read -r verb group; do
  rest=
  for g in $groups; do [ "$g" = "$group" ] || rest="$rest $g"; done
  groups=$rest
  [ "$verb" = + ] && groups="$groups $group"
done
for g in $groups; do kill -s TERM -- "-$g" 2>/dev/null; done
left=${guardGraceSeconds}
while [ "$left" -gt 0 ]; do
  alive=
  for g in $groups; do kill -s 0 -- "-$g" 2>/dev/null && alive=1; done
  [ -n "$alive" ] || exit 0
  sleep 1
  left=$((left - 1))
done
for g in $groups; do kill -s KILL -- "-$g" 2>/dev/null; done
exit 0
`;

export class Guard {
  readonly #process: ChildProcess;
  readonly #pipe: Writable;

  constructor() {
    this.#process = spawn("/bin/sh", ["-c", script], { cwd: "/", detached: true, stdio: ["pipe", "ignore", "ignore"] });
    this.#pipe = this.#process.stdin as Writable;
    // A guard that is gone must not take us with it: we still end our children ourselves.
    this.#pipe.on("error", () => {});
    this.#process.on("error", () => {});
    this.#process.unref();
    (this.#pipe as Writable & { unref?: () => void }).unref?.();
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  /** Resolves when the guard's pipe holds the entry: from then on the group ends with us. */
  watch(processGroup: number): Promise<void> {
    return new Promise((resolve) => this.#pipe.write(`+ ${processGroup}\n`, () => resolve()));
  }

  /** The group is empty; its number may be given to someone else. */
  forget(processGroup: number): void {
    this.#pipe.write(`- ${processGroup}\n`);
  }
}
