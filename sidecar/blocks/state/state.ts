// The verbs of the state API on plain types. HTTP and gRPC call these and nothing else; keys come in as the app knows them and are
// prefixed here, once, with what the store's keyPrefix says.
import {
  type BulkGetItem,
  type DeleteRequest,
  EtagError,
  type GetRequest,
  type RequestMetadata,
  type SetRequest,
  type StateItem,
  type StateStore,
  type TransactionOperation,
} from "../../../components/state/store.ts";
import { apiError, messageOf } from "../../../lib/kit/errors.ts";
import type { Loaded, Policy } from "../../contract/ports.ts";
import { readAll, writeAll } from "./bulk.ts";
import {
  illegalKey,
  queryNotSupported,
  stateErrors,
  storeNotConfigured,
  storeNotFound,
  tooManyOperations,
  transactionsNotSupported,
  writeFailure,
} from "./errors.ts";
import { isLegalKey, keyPrefixOf } from "./key-prefix.ts";
import type { StatePorts } from "./ports.ts";

/** The kind that resiliency names state stores by. */
const policyKind = "Statestore";

/** A store with its key prefix. */
export interface OpenStore {
  readonly name: string;
  readonly driver: StateStore;
  readonly prefix: string;
  /** False when the component's keyPrefix holds the separator: no key is legal then. */
  readonly legalPrefix: boolean;
}

export class StateVerbs {
  readonly appId: string;
  readonly #ports: StatePorts;
  /** A reload makes a new Loaded, and with it a new prefix. */
  readonly #opened = new WeakMap<Loaded<StateStore>, OpenStore>();

  constructor(ports: StatePorts) {
    this.appId = ports.appId;
    this.#ports = ports;
  }

  /** The store named `name`. `appId` goes into the details of the error: null over gRPC. */
  find(name: string, appId: string | null): OpenStore {
    const { stores } = this.#ports;
    const loaded = stores.get(name);
    if (loaded !== undefined) return this.#opened.get(loaded) ?? this.#open(loaded);
    throw stores.size === 0 ? storeNotConfigured(name, appId) : storeNotFound(name, appId);
  }

  async get(store: OpenStore, request: GetRequest, signal: AbortSignal): Promise<StateItem | null> {
    const stored = prefixed(store, request);
    const policy = this.#policyOf(store);
    try {
      if (policy === null) return await store.driver.get(stored, signal);
      return await policy.run((abort) => store.driver.get(stored, abort), signal);
    } catch (error) {
      throw apiError(stateErrors.get, [request.key, store.name, messageOf(error)], { cause: error });
    }
  }

  /** One item per key, in order, under the app's own keys. `parallelism` 0: no limit. */
  async bulkGet(
    store: OpenStore,
    keys: readonly string[],
    parallelism: number,
    metadata: RequestMetadata,
    signal: AbortSignal,
  ): Promise<readonly BulkGetItem[]> {
    if (keys.length === 0) return [];
    const requests = keys.map((key): GetRequest => prefixed<GetRequest>(store, { key, consistency: "", metadata }));
    const policy = this.#policyOf(store);
    const read = (abort: AbortSignal) => readAll(store.driver, requests, parallelism, abort);
    try {
      const items = await (policy === null ? read(signal) : policy.run(read, signal));
      return items.map(({ item, error }, index) => ({ key: keys[index] as string, item, error }));
    } catch (error) {
      throw apiError(stateErrors.bulkGet, [messageOf(error)], { cause: error });
    }
  }

  async save(store: OpenStore, requests: readonly SetRequest[], signal: AbortSignal): Promise<void> {
    if (requests.length === 0) return;
    for (const { key } of requests) if (key === "") throw apiError(stateErrors.emptyKey);
    const stored = requests.map((request) => prefixed(store, request));
    const { driver } = store;
    try {
      await writeAll(stored, this.#policyOf(store), (one, abort) => driver.set(one, abort), driver.bulkSet?.bind(driver), signal);
    } catch (error) {
      throw writeFailure(stateErrors.save, [store.name], error);
    }
  }

  async delete(store: OpenStore, request: DeleteRequest, signal: AbortSignal): Promise<void> {
    const { driver } = store;
    const stored = [prefixed(store, request)];
    try {
      await writeAll(stored, this.#policyOf(store), (one, abort) => driver.delete(one, abort), undefined, signal);
    } catch (error) {
      throw writeFailure(stateErrors.delete, [request.key], error);
    }
  }

  async bulkDelete(store: OpenStore, requests: readonly DeleteRequest[], signal: AbortSignal): Promise<void> {
    if (requests.length === 0) return;
    const { driver } = store;
    const stored = requests.map((request) => prefixed(store, request));
    try {
      await writeAll(stored, this.#policyOf(store), (one, abort) => driver.delete(one, abort), driver.bulkDelete?.bind(driver), signal);
    } catch (error) {
      throw writeFailure(stateErrors.bulkDelete, [store.name], error);
    }
  }

  /** Throws unless the store has transactions. HTTP asks before it looks at the body. */
  requireTransactions(store: OpenStore): void {
    transactionOf(store);
  }

  /** All or nothing. Dapr answers a conflict within a transaction like any other failure of it. */
  async transact(
    store: OpenStore,
    operations: readonly TransactionOperation[],
    metadata: RequestMetadata,
    signal: AbortSignal,
  ): Promise<void> {
    const transact = transactionOf(store);
    if (operations.length === 0) return;
    const stored = operations.map((operation) => prefixedOperation(store, operation));
    const max = store.driver.maxTransactionOperations ?? 0;
    if (max > 0 && stored.length > max) throw tooManyOperations(store.name, stored.length, max);
    const policy = this.#policyOf(store);
    const attempt = (abort: AbortSignal) => conflictOf(transact(stored, metadata, abort));
    try {
      const conflict = await (policy === null ? attempt(signal) : policy.run(attempt, signal));
      if (conflict !== null) throw conflict;
    } catch (error) {
      throw apiError(stateErrors.transaction, [messageOf(error)], { cause: error });
    }
  }

  /** No store of ours can be queried. */
  query(store: OpenStore): never {
    throw queryNotSupported(store.name);
  }

  #open(loaded: Loaded<StateStore>): OpenStore {
    const strategy = loaded.property("keyPrefix");
    const owner = { appId: this.appId, namespace: this.#ports.keyNamespace, storeName: loaded.name };
    const store: OpenStore = {
      name: loaded.name,
      driver: loaded.driver,
      prefix: keyPrefixOf(strategy, owner),
      legalPrefix: strategy === undefined || isLegalKey(strategy),
    };
    this.#opened.set(loaded, store);
    return store;
  }

  #policyOf(store: OpenStore): Policy | null {
    return this.#ports.policies.outbound(store.name, policyKind);
  }
}

/** The conflict of a write, which no policy may try again; null when it went well. Other failures reject. */
async function conflictOf(write: Promise<void>): Promise<EtagError | null> {
  try {
    await write;
    return null;
  } catch (error) {
    if (error instanceof EtagError) return error;
    throw error;
  }
}

function transactionOf(store: OpenStore): NonNullable<StateStore["transact"]> {
  const { driver } = store;
  if (driver.transact === undefined || !driver.features.includes("TRANSACTIONAL")) throw transactionsNotSupported(store.name);
  return driver.transact.bind(driver);
}

function prefixed<R extends { readonly key: string }>(store: OpenStore, request: R): R {
  if (!store.legalPrefix) throw illegalKey(store.name, store.prefix.slice(0, -2));
  if (!isLegalKey(request.key)) throw illegalKey(store.name, request.key);
  return store.prefix === "" ? request : { ...request, key: store.prefix + request.key };
}

function prefixedOperation(store: OpenStore, { operation, request }: TransactionOperation): TransactionOperation {
  return operation === "upsert" ? { operation, request: prefixed(store, request) } : { operation, request: prefixed(store, request) };
}
