// The Configuration of a standalone sidecar: its files in order, variables expanded, merged field by field over the defaults.

import type { Configuration } from "../../lib/resources/configuration.ts";
import { defaultConfiguration, mergeValues, parseConfiguration } from "../../lib/resources/configuration-parser.ts";
import { expandEnvironment } from "../../lib/resources/expand-env.ts";
import { type Problem, problemText } from "../../lib/resources/problem.ts";
import { isObject } from "../../lib/resources/reader.ts";
import { parseYaml, splitDocuments, type Value, yamlMaxBytes } from "../../lib/resources/yaml.ts";
import type { Logger } from "../../lib/telemetry/log.ts";
import { fileErrorText } from "./disk-files.ts";
import type { Environment, ResourceFiles } from "./ports.ts";

/** A failure that ends the start; the message follows "Fatal error from runtime: ". */
export class LoadError extends Error {
  override readonly name = "LoadError";
}

export interface ConfigurationSource {
  readonly paths: readonly string[];
  readonly files: ResourceFiles;
  readonly env: Environment;
  readonly log: Logger;
}

/** Rejects with LoadError, all problems of all files in its message. */
export async function loadConfiguration(source: ConfigurationSource, signal: AbortSignal): Promise<Configuration> {
  if (source.paths.length === 0) return defaultConfiguration();
  let merged: Value = null;
  const problems: Problem[] = [];
  for (const path of source.paths) {
    signal.throwIfAborted();
    const value = await readOne(path, source);
    problems.push(...parseConfiguration(value, path).problems);
    merged = mergeValues(merged, value);
  }
  for (const problem of problems.filter((one) => one.severity === "warning"))
    source.log.warn(`configuration ${problem.file}: ${problemText(problem)}`);
  const errors = problems.filter((one) => one.severity === "error");
  if (errors.length > 0) throw failure(errors.map((problem) => `${problem.file}: ${problemText(problem)}`).join("\n"));
  const parsed = parseConfiguration(merged, source.paths.join(", "));
  if (parsed.resource === null) throw failure(parsed.problems.map(problemText).join("\n"));
  return parsed.resource;
}

async function readOne(path: string, source: ConfigurationSource): Promise<Value> {
  let text: string;
  try {
    text = await source.files.read(path, yamlMaxBytes);
  } catch (error) {
    throw failure(fileErrorText("stat", path, error));
  }
  const document = splitDocuments(expandEnvironment(text, source.env))[0];
  if (document === undefined) return Object.create(null);
  const parsed = parseYaml(document);
  if ("cause" in parsed) throw failure(`${path}: ${parsed.cause}`);
  if (!isObject(parsed.value)) throw failure(`${path}: the document is not a mapping; write apiVersion, kind, metadata and spec`);
  return parsed.value;
}

function failure(message: string): LoadError {
  return new LoadError(`error loading configuration: ${message}`);
}
