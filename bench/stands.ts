// The stands: which processes each group of works needs, for one contender. What nobody asked for is not started.
import { createCsr, csrPem } from "../lib/security/x509/csr.ts";
import { generateKey } from "../lib/security/x509/keys.ts";
import { type Cell, type Durations, idleCell, requestCell, startCell } from "./cells.ts";
import { injectorPatchCell } from "./injector-patch.ts";
import type { AppAddress, Authority, Pair, Workshop } from "./subjects.ts";
import { type Ids, injectorPatch, meshWorks, proxyWorks, savedState, signWork, type Work, worksFor } from "./works.ts";

export interface Contender {
  readonly name: string;
  /** Binaries. */
  readonly daprd: string;
  readonly sentry: string;
  /** False: its mesh borrows our sentry, which is measured as ours alone. */
  readonly ownSentry: boolean;
  /** Null: not measured. */
  readonly injector: string | null;
}

export interface Surroundings {
  readonly workshop: Workshop;
  readonly durations: Durations;
  readonly isWanted: (work: string) => boolean;
  readonly httpApp: AppAddress;
}

export async function cellsOf(contender: Contender, around: Surroundings): Promise<Cell[]> {
  const { workshop, durations, isWanted } = around;
  const { name, daprd } = contender;
  const processes = [startCell(name, daprd, workshop), idleCell(name, daprd, workshop, durations)];
  return [
    ...(await plainCells(contender, around)),
    ...(await proxyCells(contender, around)),
    ...(await meshCells(contender, around)),
    ...(await injectorCells(contender, around)),
    ...processes.filter(({ work }) => isWanted(work)),
  ];
}

async function plainCells({ name, daprd }: Contender, around: Surroundings): Promise<Cell[]> {
  const ids = idsOf("plain", name);
  const works = wanted(worksFor(ids), around);
  if (works.length === 0) return [];
  const pair = await around.workshop.startPair(name, daprd, ids, { app: around.httpApp, authority: null });
  await saveState(pair);
  return pairCells(works, pair, around);
}

async function proxyCells({ name, daprd }: Contender, around: Surroundings): Promise<Cell[]> {
  const ids = idsOf("proxy", name);
  const works = wanted(proxyWorks(ids), around);
  if (works.length === 0) return [];
  const app = await around.workshop.startGrpcApp(name);
  return pairCells(works, await around.workshop.startPair(name, daprd, ids, { app, authority: null }), around);
}

/** The mesh and its authority; the authority is a subject of its own. */
async function meshCells({ name, daprd, sentry, ownSentry }: Contender, around: Surroundings): Promise<Cell[]> {
  const ids = idsOf("mesh", name);
  const csr = csrPem(createCsr({ key: await generateKey("ed25519") }));
  const works = wanted(meshWorks(ids), around);
  const signs = ownSentry ? wanted([signWork(csr)], around) : [];
  if (works.length + signs.length === 0) return [];
  const authority = await around.workshop.startAuthority(sentry, name);
  const options = { app: around.httpApp, authority };
  const cells = works.length === 0 ? [] : pairCells(works, await around.workshop.startPair(name, daprd, ids, options), around);
  return [...cells, ...signs.map((work) => authorityCell(work, authority, around))];
}

async function injectorCells({ name, sentry, injector }: Contender, { workshop, durations, isWanted }: Surroundings): Promise<Cell[]> {
  if (injector === null || !isWanted(injectorPatch.name)) return [];
  return [injectorPatchCell(name, injector, workshop, await workshop.startAuthority(sentry, `injector-${name}`), durations)];
}

/** App ids differ for each contender and stand: all may hear each other's mDNS. */
function idsOf(stand: string, name: string): Ids {
  return { near: `bench-${stand}-near-${name}-${process.pid}`, far: `bench-${stand}-far-${name}-${process.pid}` };
}

function wanted(works: readonly Work[], { isWanted }: Surroundings): Work[] {
  return works.filter(({ name }) => isWanted(name));
}

function pairCells(works: readonly Work[], pair: Pair, { durations, workshop }: Surroundings): Cell[] {
  return works.map((work) => requestCell(work, work.name.endsWith("-2") ? pair.both : pair.near, durations, workshop.folder));
}

function authorityCell(work: Work, { subject }: Authority, { durations, workshop }: Surroundings): Cell {
  return requestCell(work, subject, durations, workshop.folder);
}

async function saveState(pair: Pair): Promise<void> {
  const url = `http://127.0.0.1:${pair.near.httpPort}/v1.0/state/statestore`;
  const response = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(savedState) });
  if (response.status !== 204) throw new Error(`saving state for the bench: ${response.status} ${await response.text()}`);
}
