// Stands where Dapr's debug image has Go's debugger: the injector starts `/dlv --listen :PORT … exec /daprd -- ARGUMENTS` for
// the annotation dapr.io/enable-debug, and this opens Node's inspector there and goes on as that program.
import inspector from "node:inspector";

const words = process.argv.slice(2);
const at = words.indexOf("exec");
const listen = words.find((word) => word.startsWith("--listen="))?.slice("--listen=".length) ?? words[words.indexOf("--listen") + 1] ?? "";
const [, host = "", port = ""] = /^(.*):(\d+)$/.exec(listen) ?? [];
const program = /^\/([a-z]+)$/.exec(words[at + 1] ?? "")?.[1];
if (at < 0 || port === "" || program === undefined || program === "dlv") {
  process.stderr.write("usage: /dlv --listen HOST:PORT … exec /PROGRAM -- ARGUMENTS\n");
  process.exit(2);
}
inspector.open(Number(port), host === "" ? "0.0.0.0" : host);
process.stderr.write(`debugging /${program} on port ${port}: whoever reaches the port controls the process\n`);
const rest = words.slice(at + 2);
process.argv = [process.argv[0], `/${program}`, ...(rest[0] === "--" ? rest.slice(1) : rest)];
await import(`/usr/lib/outrigger/${program}.mjs`);
