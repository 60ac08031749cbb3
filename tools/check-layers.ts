// Holds the layers with dependency-cruiser: every import of our own files goes to a strictly smaller layer or stays in its
// room. A canary violation must be found first, since a cruiser that cannot parse sees no module and passes everything.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { cruise, type ICruiseResult, type IModule } from "dependency-cruiser";
import { layers, roomOf } from "./layers.ts";
import { sourceFiles } from "./source-files.ts";

export interface Violation {
  readonly from: string;
  readonly to: string;
  readonly why: string;
}

async function violations(files: readonly string[]): Promise<Violation[]> {
  const result = await cruise([...files], {
    parser: "swc",
    tsPreCompilationDeps: true,
    doNotFollow: { path: "node_modules" },
    enhancedResolveOptions: { extensions: [".ts"], exportsFields: ["exports"], conditionNames: ["import"] },
  });
  return (result.output as ICruiseResult).modules.flatMap(inspectModule);
}

function inspectModule(module: IModule): Violation[] {
  const from = module.source;
  const room = roomOf(from);
  if (from.includes("node_modules") || !from.endsWith(".ts")) return [];
  if (room === null) return [{ from, to: "", why: "is in no room of tools/layers.ts: give its folder a layer" }];
  const found: Violation[] = [];
  for (const { resolved: to, coreModule } of module.dependencies) {
    if (room === "lib/kit" && coreModule && !from.endsWith(".test.ts")) found.push({ from, to, why: "lib/kit is pure: no node: import" });
    const target = coreModule || to.includes("node_modules") ? null : roomOf(to);
    if (target === null || target === room) continue;
    const [own, other] = [layers[room] as number, layers[target] as number];
    if (other >= own) found.push({ from, to, why: `layer ${own} (${room}) may not import layer ${other} (${target})` });
  }
  return found;
}

const canaryFolder = "lib/kit/canary-of-check-layers";

async function canaryIsSeen(): Promise<boolean> {
  mkdirSync(canaryFolder, { recursive: true });
  try {
    writeFileSync(`${canaryFolder}/canary.ts`, 'import { layers } from "../../../tools/layers.ts";\nexport const seen = layers;\n');
    return (await violations([`${canaryFolder}/canary.ts`])).length > 0;
  } finally {
    rmSync(canaryFolder, { recursive: true, force: true });
  }
}

if (!(await canaryIsSeen())) {
  process.stderr.write("check-layers: the canary violation was not seen; the cruiser parses nothing\n");
  process.exit(1);
}
const found = await violations(sourceFiles());
for (const { from, to, why } of found) process.stderr.write(`${from} → ${to}: ${why}\n`);
process.exit(found.length > 0 ? 1 : 0);
