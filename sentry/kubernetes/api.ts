// What sentry asks of the Kubernetes API server, and nothing else. client.ts is the implementation.

export interface TokenReview {
  readonly authenticated: boolean;
  /** Of those asked for, the ones the token is good for; null when the server does not say. */
  readonly audiences: readonly string[] | null;
  readonly username: string;
  /** Empty: none. */
  readonly error: string;
}

export interface Pod {
  readonly namespace: string;
  readonly name: string;
  /** Empty when the server does not say. */
  readonly uid: string;
  readonly serviceAccount: string;
  readonly annotations: ReadonlyMap<string, string>;
}

/** A Secret, its values decoded, or a ConfigMap. */
export interface KeyedData {
  readonly data: ReadonlyMap<string, string>;
  readonly resourceVersion: string;
}

export interface KubernetesApi {
  /** Null in each: there is none. */
  reviewToken(token: string, audiences: readonly string[], signal: AbortSignal): Promise<TokenReview>;
  pod(namespace: string, name: string, signal: AbortSignal): Promise<Pod | null>;
  /** The object as it is, for the parser of Configurations. */
  configuration(namespace: string, name: string, signal: AbortSignal): Promise<unknown>;
  keyed(kind: "secrets" | "configmaps", namespace: string, name: string, signal: AbortSignal): Promise<KeyedData | null>;
  /**
   * Sets some values of an object, leaves the others, and answers its new version. Null for `resourceVersion` overwrites
   * whatever is there, otherwise rejects with ApiError of status 409 when the object was changed since.
   */
  patchKeyed(
    kind: "secrets" | "configmaps",
    namespace: string,
    name: string,
    values: Readonly<Record<string, string>>,
    resourceVersion: string | null,
    signal: AbortSignal,
  ): Promise<string>;
}

/** The API server refused, or cannot be reached (status 0). The message holds no token. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}
