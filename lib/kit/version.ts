// Two versions: the Dapr release whose behaviour we keep, which SDKs and tools read, and our own.

declare const __OUTRIGGER_VERSION__: string;

export const daprVersion = "1.18.3";

/** Set by the bundler from package.json. */
export const outriggerVersion: string = typeof __OUTRIGGER_VERSION__ === "string" ? __OUTRIGGER_VERSION__ : "dev";
