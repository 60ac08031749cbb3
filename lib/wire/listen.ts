// Binding one address, with errors that say what to do, and Unix sockets whose last owner died without removing the file.
import { lstatSync, unlinkSync } from "node:fs";
import { type AddressInfo, connect, type Server } from "node:net";

export type ListenAddress = { readonly host: string; readonly port: number } | { readonly path: string };
export type BoundAddress = ListenAddress;

/** Listens on `address`. `setting` names the flag that chose it, for the error message. */
export async function bind(server: Server, address: ListenAddress, setting: string | null): Promise<BoundAddress> {
  try {
    await listen(server, address);
  } catch (error) {
    if (!("path" in address) || codeOf(error) !== "EADDRINUSE" || !(await removeStale(address.path))) {
      throw explain(error, address, setting);
    }
    await listen(server, address);
  }
  if ("path" in address) return address;
  return { host: address.host, port: (server.address() as AddressInfo).port };
}

/** Stops accepting; resolves when the server's connections are gone too. */
export function unbind(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}

function listen(server: Server, address: ListenAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    const options = "path" in address ? { path: address.path } : { host: address.host, port: address.port };
    server.listen(options, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

/** Removes a socket file that nobody answers on. False when it is in use, or is no socket. */
async function removeStale(path: string): Promise<boolean> {
  if (!lstatSync(path, { throwIfNoEntry: false })?.isSocket() || (await answers(path))) return false;
  unlinkSync(path);
  return true;
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", (error) => resolve(codeOf(error) !== "ECONNREFUSED"));
  });
}

function explain(error: unknown, address: ListenAddress, setting: string | null): Error {
  const where = "path" in address ? `unix socket ${address.path}` : hostPort(address);
  const other = setting === null ? "choose another" : `choose another with ${setting}`;
  const what = "path" in address ? "path" : "port";
  return new Error(`cannot listen on ${where}: ${reason(codeOf(error), what, other) ?? (error as Error).message}`, { cause: error });
}

function reason(code: string | undefined, what: string, other: string): string | null {
  switch (code) {
    case "EADDRINUSE":
      return `address already in use: another process holds this ${what}; stop it or ${other} (EADDRINUSE)`;
    case "EACCES":
      return `permission denied: this user may not use this ${what}; ${other} (EACCES)`;
    case "EADDRNOTAVAIL":
      return "this machine has no such address; correct the listen address (EADDRNOTAVAIL)";
    case "ENOENT":
      return "the directory does not exist; create it (ENOENT)";
    default:
      return null;
  }
}

function hostPort(address: { readonly host: string; readonly port: number }): string {
  return address.host.includes(":") ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException | null)?.code;
}
