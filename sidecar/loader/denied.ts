// components.deny of the Configuration. Drivers are found without regard to case and v0 is v1, so the list is read the same way.
import type { Component } from "../../lib/resources/component.ts";

/** Entries are `type` or `type/version`; others match nothing. */
export function isDenied(component: Pick<Component, "type" | "version">, entries: readonly string[]): boolean {
  const type = component.type.toLowerCase();
  return entries.some((entry) => {
    const [deniedType, version, ...rest] = entry.toLowerCase().split("/");
    if (deniedType !== type || rest.length > 0) return false;
    return version === undefined || version === "" || canonical(version) === canonical(component.version.toLowerCase());
  });
}

function canonical(version: string): string {
  return version === "" || version === "v0" ? "v1" : version;
}
