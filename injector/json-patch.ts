// The operations of a JSON patch that an injection needs. https://www.rfc-editor.org/rfc/rfc6902
// A list that is missing, null or empty is made with its first element; after that elements are appended to it.
import { escapePointer } from "../lib/kube/patch.ts";

export interface PatchOperation {
  readonly op: "add";
  readonly path: string;
  readonly value: unknown;
}

export type JsonPatch = readonly PatchOperation[];

export class PatchBuilder {
  readonly #operations: PatchOperation[] = [];
  /** Lists and maps that are known to be there by now. */
  readonly #made = new Set<string>();

  get operations(): JsonPatch {
    return this.#operations;
  }

  /** `present`: how many elements the list has before the patch. */
  append(path: string, present: number, value: unknown): void {
    if (present === 0 && !this.#made.has(path)) this.#add(path, [value]);
    else this.#add(`${path}/-`, value);
    this.#made.add(path);
  }

  /** Sets a key of a map; `present`: whether there is a map before the patch. */
  set(path: string, present: boolean, key: string, value: string): void {
    if (!present && !this.#made.has(path)) this.#add(path, {});
    this.#add(`${path}/${escapePointer(key)}`, value);
    this.#made.add(path);
  }

  #add(path: string, value: unknown): void {
    this.#operations.push({ op: "add", path, value });
  }
}
