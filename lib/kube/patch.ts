// Patches of JSON documents: merge patch (RFC 7396) and JSON patch (RFC 6902), both pure. A patch that does not fit throws.

export interface JsonPatchOperation {
  readonly op: "add" | "remove" | "replace" | "test";
  /** A JSON pointer (RFC 6901). */
  readonly path: string;
  readonly value?: unknown;
}

export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isRecord(patch)) return patch;
  const merged = new Map(isRecord(target) ? Object.entries(target) : []);
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) merged.delete(name);
    else merged.set(name, mergePatch(merged.get(name), value));
  }
  return Object.fromEntries(merged);
}

/** Throws RangeError for a path that leads nowhere, and for a test that fails. */
export function applyJsonPatch(document: unknown, operations: readonly JsonPatchOperation[]): unknown {
  return operations.reduce((current, operation) => change(current, pointer(operation.path), operation), document);
}

/** A name as one step of a JSON pointer. */
export function escapePointer(name: string): string {
  return name.replaceAll("~", "~0").replaceAll("/", "~1");
}

function pointer(path: string): readonly string[] {
  if (path === "") return [];
  if (!path.startsWith("/")) throw new RangeError(`${path} is no JSON pointer`);
  return path
    .slice(1)
    .split("/")
    .map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function change(node: unknown, steps: readonly string[], operation: JsonPatchOperation): unknown {
  const [step, ...rest] = steps;
  if (step === undefined) return changeHere(node, operation);
  if (Array.isArray(node)) return changeArray(node, step, rest, operation);
  if (!isRecord(node)) throw new RangeError(`${operation.path} leads into a value that is no object`);
  const exists = Object.hasOwn(node, step);
  if (!exists && (rest.length > 0 || operation.op !== "add")) throw new RangeError(`${operation.path} does not exist`);
  const entries = new Map(Object.entries(node));
  if (rest.length === 0 && operation.op === "remove") entries.delete(step);
  else entries.set(step, change(entries.get(step), rest, operation));
  return Object.fromEntries(entries);
}

function changeArray(node: readonly unknown[], step: string, rest: readonly string[], operation: JsonPatchOperation): unknown {
  const index = step === "-" ? node.length : /^(0|[1-9]\d*)$/.test(step) ? Number(step) : Number.NaN;
  const isInsertion = rest.length === 0 && operation.op === "add";
  if (!(index < node.length || (isInsertion && index === node.length))) throw new RangeError(`${operation.path} does not exist`);
  if (isInsertion) return node.toSpliced(index, 0, operation.value);
  if (rest.length === 0 && operation.op === "remove") return node.toSpliced(index, 1);
  return node.with(index, change(node[index], rest, operation));
}

function changeHere(node: unknown, { op, path, value }: JsonPatchOperation): unknown {
  if (op === "remove") throw new RangeError("the whole document cannot be removed");
  if (op !== "test") return value;
  if (JSON.stringify(node) !== JSON.stringify(value)) throw new RangeError(`the test of ${path} failed`);
  return node;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
