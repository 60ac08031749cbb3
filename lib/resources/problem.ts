// What is wrong with a resource, said so that the author finds the place and knows the way out. Readers collect problems
// and carry on, so that one run reports all of them.

export interface Problem {
  /** `error`: the resource is not loaded. `warning`: it is, and the field has no effect. */
  readonly severity: "error" | "warning";
  /** The file, or another name of where the text came from. */
  readonly file: string;
  /** Path of the field, e.g. `spec.metadata[0].name`; empty for the document. */
  readonly field: string;
  readonly cause: string;
  readonly remedy: string;
}

/** The outcome of reading one resource: null with at least one error, or the resource with warnings at most. */
export interface Parsed<T> {
  readonly resource: T | null;
  readonly problems: readonly Problem[];
}

export class ProblemList {
  readonly file: string;
  readonly problems: Problem[] = [];

  constructor(file: string) {
    this.file = file;
  }

  error(field: string, cause: string, remedy: string): void {
    this.problems.push({ severity: "error", file: this.file, field, cause, remedy });
  }

  warning(field: string, cause: string, remedy: string): void {
    this.problems.push({ severity: "warning", file: this.file, field, cause, remedy });
  }

  /** `resource`, or null when an error was found. */
  result<T>(resource: T): Parsed<T> {
    const failed = this.problems.some((problem) => problem.severity === "error");
    return { resource: failed ? null : resource, problems: this.problems };
  }
}

/** One line: field, cause and remedy. */
export function problemText(problem: Problem): string {
  return `${problem.field === "" ? "" : `${problem.field}: `}${problem.cause}; ${problem.remedy}`;
}
