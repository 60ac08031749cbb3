// The validator of a single machine: whoever reaches sentry may have any identity but sentry's own. The name says it.
import { checkRequest, type Validator } from "./validator.ts";

export function createInsecureValidator(): Validator {
  return { validate: async (request) => checkRequest(request) };
}
