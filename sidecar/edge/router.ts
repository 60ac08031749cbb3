// Routes compiled at boot into one trie of path segments. Literals win over parameters, parameters over the rest
// parameter; matching allocates nothing but the parameter object.
import { assert } from "../../lib/kit/assert.ts";
import type { Route } from "../contract/http.ts";
import { decodeParameter } from "./path.ts";

interface Leaf {
  readonly route: Route;
  readonly names: readonly string[];
}

interface Node {
  readonly literals: Map<string, Node>;
  parameter: Node | null;
  /** Leaves of `*rest`, by method. */
  readonly rest: Map<string, Leaf>;
  readonly leaves: Map<string, Leaf>;
}

export interface Match {
  readonly route: Route;
  readonly params: Readonly<Record<string, string>>;
}

/** A parameter's percent-encoding is not UTF-8. */
export class BadParameterError extends Error {}

const anyMethod = "*";
const noParams: Readonly<Record<string, string>> = Object.freeze(Object.create(null) as Record<string, string>);

export interface Router {
  /** The route of `method` and a cleaned path, or null. A trailing slash is dropped when only that makes it match. */
  match(method: string, path: string): Match | null;
}

export function compileRoutes(routes: readonly Route[]): Router {
  const root = newNode();
  for (const route of routes) insert(root, route);
  const match = (method: string, path: string): Match | null => {
    const values: string[] = [];
    const leaf = walk(root, path, 1, method, values);
    return leaf ? { route: leaf.route, params: name(leaf.names, values) } : null;
  };
  return {
    match(method, path) {
      const found = match(method, path);
      if (found || path.length < 2 || !path.endsWith("/")) return found;
      return match(method, path.slice(0, -1));
    },
  };
}

function newNode(): Node {
  return { literals: new Map(), parameter: null, rest: new Map(), leaves: new Map() };
}

function insert(root: Node, route: Route): void {
  const names: string[] = [];
  const methods = route.methods.length > 0 ? route.methods : [anyMethod];
  let node = root;
  for (const segment of [route.version, ...route.path.split("/")]) {
    if (segment.startsWith("*")) {
      names.push(segment.slice(1));
      for (const method of methods) add(node.rest, method, { route, names }, route.path);
      return;
    }
    if (segment.startsWith(":")) {
      names.push(segment.slice(1));
      node.parameter ??= newNode();
      node = node.parameter;
    } else {
      let next = node.literals.get(segment);
      if (!next) node.literals.set(segment, (next = newNode()));
      node = next;
    }
  }
  for (const method of methods) add(node.leaves, method, { route, names }, route.path);
}

function add(leaves: Map<string, Leaf>, method: string, leaf: Leaf, path: string): void {
  assert(!leaves.has(method), `two routes for ${method} ${path}`);
  leaves.set(method, leaf);
}

/** Depth first from `at`, the index after a slash; `values` collects raw parameter values of the current branch. */
function walk(node: Node, path: string, at: number, method: string, values: string[]): Leaf | null {
  if (at > path.length) return pick(node.leaves, method);
  const slash = path.indexOf("/", at);
  const end = slash < 0 ? path.length : slash;
  const segment = path.slice(at, end);
  const literal = node.literals.get(segment);
  if (literal) {
    const leaf = walk(literal, path, end + 1, method, values);
    if (leaf) return leaf;
  }
  if (node.parameter && segment !== "") {
    values.push(segment);
    const leaf = walk(node.parameter, path, end + 1, method, values);
    if (leaf) return leaf;
    values.pop();
  }
  if (node.rest.size > 0) {
    const leaf = pick(node.rest, method);
    if (leaf) values.push(path.slice(at));
    return leaf;
  }
  return null;
}

function pick(leaves: Map<string, Leaf>, method: string): Leaf | null {
  return leaves.get(method) ?? leaves.get(anyMethod) ?? null;
}

function name(names: readonly string[], values: readonly string[]): Readonly<Record<string, string>> {
  if (names.length === 0) return noParams;
  const params: Record<string, string> = Object.create(null);
  for (let index = 0; index < names.length; index++) {
    try {
      params[names[index] as string] = decodeParameter(values[index] as string);
    } catch {
      throw new BadParameterError(`failed to unescape request parameter "${names[index]}". Error: invalid URL escape`);
    }
  }
  return params;
}
