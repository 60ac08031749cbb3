// Reads the `dapr.io/…` annotations of a pod, over the defaults that its namespace gives, and collects every problem: an
// error where the pod or its sidecar could not start, a warning where a value has no effect. Pure; never throws.
import { type AnnotationName, type AnnotationRow, type AnnotationValues, annotationRows } from "./annotation-rows.ts";
import { type Problem, ProblemList } from "./problem.ts";

export const annotationPrefix = "dapr.io/";

export interface Annotations {
  readonly values: AnnotationValues;
  /** Annotations that somebody wrote, by name after the prefix. */
  readonly given: ReadonlySet<AnnotationName>;
  readonly problems: readonly Problem[];
}

/** Where texts come from, least important first. */
export interface AnnotationSource {
  /** How problems name it: `pod` or `namespace shop`. */
  readonly name: string;
  readonly annotations: Readonly<Record<string, string>>;
  /** Defaults for many pods: what is one pod's own has no effect here. */
  readonly shared?: boolean;
}

/** Names of annotations that are on pods for other reasons than to be read here. */
const others = new Set(["control-plane", "watchdog-patched", "sidecar-injected"]);
const names = Object.keys(annotationRows) as AnnotationName[];
const rowOf = (name: AnnotationName): AnnotationRow<unknown> => annotationRows[name] as AnnotationRow<unknown>;
const defaults = Object.freeze(Object.fromEntries(names.map((name) => [name, rowOf(name).default]))) as AnnotationValues;

/** Reads all sources; a later one wins. */
export function readAnnotations(...sources: readonly AnnotationSource[]): Annotations {
  const values: Record<string, unknown> = { ...defaults };
  const given = new Set<AnnotationName>();
  const problems: Problem[] = [];
  for (const source of sources) readSource(source, values, given, problems);
  return { values: values as AnnotationValues, given, problems };
}

function readSource(source: AnnotationSource, values: Record<string, unknown>, given: Set<AnnotationName>, problems: Problem[]): void {
  const list = new ProblemList(source.name);
  for (const [key, text] of Object.entries(source.annotations)) {
    if (!key.startsWith(annotationPrefix)) continue;
    const field = `metadata.annotations[${key}]`;
    const name = knownName(key);
    if (name === null) {
      if (others.has(key.slice(annotationPrefix.length))) continue;
      const remedy = list.problems.length < hintsMax ? hint(key) : checkSpelling;
      list.warning(field, "the annotation is not known and has no effect", remedy);
      continue;
    }
    const row = rowOf(name);
    if (source.shared && row.shared === false) continue;
    const read = row.read(text);
    if (read.note?.effect === "refused") list.error(field, read.note.cause, read.note.remedy);
    else if (read.note !== undefined) list.warning(field, read.note.cause, read.note.remedy);
    if (row.deprecated !== undefined) list.warning(field, "the annotation is deprecated", row.deprecated);
    if (read.note !== undefined && read.value === null) continue;
    values[name] = read.value;
    given.add(name);
  }
  problems.push(...list.problems);
}

function knownName(key: string): AnnotationName | null {
  const name = key.slice(annotationPrefix.length);
  return Object.hasOwn(annotationRows, name) ? (name as AnnotationName) : null;
}

function hint(key: string): string {
  const near = nearest(key.slice(annotationPrefix.length));
  return near === null ? checkSpelling : `did you mean ${annotationPrefix}${near}?`;
}

const checkSpelling = "check its spelling";
/** Looking for what was meant costs time, and a pod may have thousands of annotations. */
const hintsMax = 20;
const nearEditsMax = 3;
const nearNameMaxChars = 64;

function nearest(name: string): string | null {
  if (name.length > nearNameMaxChars) return null;
  let best: string | null = null;
  let bestEdits = nearEditsMax + 1;
  for (const known of names) {
    const edits = editDistance(name.toLowerCase(), known);
    if (edits < bestEdits) [best, bestEdits] = [known, edits];
  }
  return best;
}

/** Levenshtein's distance. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (previous[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      current.push(Math.min(change, (previous[j] as number) + 1, (current[j - 1] as number) + 1));
    }
    previous = current;
  }
  return previous[b.length] as number;
}
