// Who forwarded a request and for whom (RFC 7239 and the older X-Forwarded-* fields), and who calls whom.
import type { HeaderLists, Identity } from "../contract/ports.ts";

export interface Forwarding {
  readonly hostAddress: string;
  readonly hostName: string;
}

/** The fields of one call. What the caller sent stays in front, as RFC 7239 asks. */
export type AddedHeaders = (headers: HeaderLists, calleeAppId: string) => HeaderLists;

export function compileAdded(identity: Identity, { hostAddress, hostName }: Forwarding): AddedHeaders {
  const node = hostAddress.includes(":") ? `"[${hostAddress}]"` : hostAddress;
  const parts: string[] = [];
  if (hostAddress !== "") parts.push(`for=${node};by=${node}`);
  if (hostName !== "") parts.push(`host=${hostName}`);
  const forwarded = parts.join(";");
  return (headers, calleeAppId) => {
    const added = Object.create(null) as HeaderLists;
    if (hostAddress !== "") added["X-Forwarded-For"] = append(headers["x-forwarded-for"], hostAddress);
    if (hostName !== "") added["X-Forwarded-Host"] = append(headers["x-forwarded-host"], hostName);
    added["Forwarded"] = append(headers["forwarded"], forwarded);
    added["destination-app-id"] = [calleeAppId];
    added["dapr-caller-namespace"] = [identity.namespace];
    added["dapr-caller-app-id"] = [identity.appId];
    added["dapr-callee-app-id"] = [calleeAppId];
    return added;
  };
}

/** Lower-case names that `AddedHeaders` replaces: nobody speaks for himself about who he is (lessons.md, attack 5). */
export const replacedNames: ReadonlySet<string> = new Set([
  "x-forwarded-for",
  "x-forwarded-host",
  "forwarded",
  "destination-app-id",
  "dapr-caller-namespace",
  "dapr-caller-app-id",
  "dapr-callee-app-id",
]);

function append(values: readonly string[] | undefined, value: string): readonly string[] {
  return values === undefined ? [value] : [...values, value];
}
