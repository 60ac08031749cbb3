// What `check` looks at, as data: sections of steps in the order in which one builds on the other. A step says what must be
// so, finds out, and names the fix. Steps go on after a failure; a section that cannot be judged after one is not tried.
import { KubeError } from "../../lib/kube/error.ts";

export type Outcome =
  | { readonly state: "passed" }
  /** Works, but look at it. */
  | { readonly state: "warning" | "failed"; readonly cause: string; readonly fix: string }
  /** Cannot be judged, for example without the right to look. */
  | { readonly state: "skipped"; readonly cause: string };

export interface Step {
  /** What must be so, e.g. `the API server answers`. */
  readonly name: string;
  /** After its failure nothing that follows can be judged. */
  readonly fatal?: true;
  readonly run: (signal: AbortSignal) => Promise<Outcome>;
}

export interface Section {
  readonly name: string;
  readonly steps: readonly Step[];
}

export interface Result {
  readonly step: Step;
  readonly outcome: Outcome;
}

export interface Report {
  readonly begin: (section: Section) => void;
  readonly result: (result: Result) => void;
}

export const passed: Outcome = Object.freeze({ state: "passed" });

export function failed(cause: string, fix: string): Outcome {
  return { state: "failed", cause, fix };
}

export function warning(cause: string, fix: string): Outcome {
  return { state: "warning", cause, fix };
}

/** Runs all; true when nothing failed. */
export async function runSections(sections: readonly Section[], report: Report, signal: AbortSignal): Promise<boolean> {
  let good = true;
  for (const section of sections) {
    report.begin(section);
    for (const step of section.steps) {
      const outcome = await tryStep(step, signal);
      report.result({ step, outcome });
      if (outcome.state === "failed") good = false;
      if (outcome.state === "failed" && step.fatal === true) return false;
    }
  }
  return good;
}

async function tryStep(step: Step, signal: AbortSignal): Promise<Outcome> {
  try {
    return await step.run(signal);
  } catch (error) {
    if (!(error instanceof KubeError)) throw error;
    if (error.status === 403) return { state: "skipped", cause: error.message };
    return failed(error.message, "see whether the API server is up and reachable: kubectl get --raw /readyz");
  }
}
