// Volumes of an injection: the sidecar's own token for sentry, the folder with Unix sockets, what a pod lends to its
// sidecar. A volume of the pod under one of our names is used when it can do the job, and an error when it cannot:
// mounting a stranger's files as the identity's token would start a sidecar that sentry refuses.
import type { AnnotationValues } from "../lib/resources/annotation-rows.ts";
import type { ProblemList } from "../lib/resources/problem.ts";
import type { Pod, Volume, VolumeMount } from "./pod.ts";
import type { SidecarSettings } from "./settings.ts";
import { socketsFolder } from "./sidecar-arguments.ts";

const tokenVolumeName = "dapr-identity-token";
const tokenFolder = "/var/run/secrets/dapr.io/sentrytoken";
const tokenSeconds = 7200;
/** rw-r--r-- */
const tokenMode = 0o644;
export const socketsVolumeName = "dapr-unix-domain-socket";
export const componentSocketsVolumeName = "dapr-components-unix-domain-socket";

export interface SidecarVolumes {
  /** What the pod does not have yet. */
  readonly added: readonly Volume[];
  readonly mounts: readonly VolumeMount[];
  /** For the app's containers; null: none. */
  readonly appMount: VolumeMount | null;
}

export function sidecarVolumes(pod: Pod, a: AnnotationValues, settings: SidecarSettings, problems: ProblemList): SidecarVolumes {
  const appFolder = a["unix-domain-socket-path"];
  const wanted = [
    ...(appFolder === "" ? [] : [{ name: socketsVolumeName, emptyDir: { medium: "Memory" } }]),
    ...(settings.tokenVolume ? [tokenVolume(settings.sentryId)] : []),
  ];
  const mounts = [
    ...lentMounts(pod, a, problems),
    ...(appFolder === "" ? [] : [{ name: socketsVolumeName, mountPath: socketsFolder }]),
    ...(settings.tokenVolume ? [{ name: tokenVolumeName, mountPath: tokenFolder, readOnly: true }] : []),
  ];
  checkToken(pod, settings, problems);
  checkPaths(mounts, problems);
  return {
    added: wanted.filter((volume) => !has(pod, volume.name)),
    mounts,
    appMount: appFolder === "" ? null : { name: socketsVolumeName, mountPath: appFolder },
  };
}

function tokenVolume(audience: string): Volume {
  const token = { audience, expirationSeconds: tokenSeconds, path: "token" };
  return { name: tokenVolumeName, projected: { defaultMode: tokenMode, sources: [{ serviceAccountToken: token }] } };
}

function lentMounts(pod: Pod, a: AnnotationValues, problems: ProblemList): readonly VolumeMount[] {
  const mounts: VolumeMount[] = [];
  for (const [annotation, readOnly] of [["volume-mounts", true] as const, ["volume-mounts-rw", false] as const]) {
    for (const { volume, path } of a[annotation]) {
      if (has(pod, volume)) mounts.push({ name: volume, mountPath: path, ...(readOnly ? { readOnly } : {}) });
      else problems.warning(fieldOf(annotation), `the pod has no volume ${volume}; it is not mounted`, "add it to spec.volumes");
    }
  }
  return mounts;
}

function checkToken(pod: Pod, settings: SidecarSettings, problems: ProblemList): void {
  const its = pod.volumes.find(({ name }) => name === tokenVolumeName);
  if (!settings.tokenVolume || its === undefined) return;
  const tokens = its.projected?.sources?.map((source) => source["serviceAccountToken"] as { path?: unknown } | undefined) ?? [];
  if (tokens.some((token) => token?.path === "token")) return;
  problems.error("spec.volumes", `the volume ${tokenVolumeName} is not the sidecar's token`, "give the volume another name");
}

function checkPaths(mounts: readonly VolumeMount[], problems: ProblemList): void {
  const seen = new Set<string>();
  for (const { mountPath } of mounts) {
    const field = fieldOf("volume-mounts");
    if (mountPath.includes(":")) problems.error(field, `${mountPath} has a colon, which no mount path may`, "choose another path");
    if (seen.has(mountPath)) problems.error(field, `${mountPath} is mounted twice in the sidecar`, "choose another path for one of them");
    seen.add(mountPath);
  }
}

function fieldOf(annotation: string): string {
  return `metadata.annotations[dapr.io/${annotation}]`;
}

export function has(pod: Pod, volume: string): boolean {
  return pod.volumes.some(({ name }) => name === volume);
}
