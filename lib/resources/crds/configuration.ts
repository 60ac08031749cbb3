// The CRD of Configurations: how a sidecar, or the control plane, works.
import { type CrdSource, column } from "./definition.ts";
import { anyObject, bool, int32, list, map, nameValue, object, plainText, type Schema, text } from "./schema.ts";

function pipeline(what: string): Schema {
  const selector = object("Which requests it is for.", {
    "fields*": list("Fields that must match.", object("A field.", { "field*": text("Its name."), "value*": text("Its value.") })),
  });
  const handler = object("A middleware component.", {
    "name*": text("Name of the component."),
    "type*": text("Its type, e.g. middleware.http.ratelimit."),
    selector,
  });
  return object(what, { "handlers*": list("In the order in which they run.", handler) });
}

function apis(what: string): Schema {
  return list(
    what,
    object("An API.", {
      "name*": text("Name, e.g. state."),
      "version*": text("Version, e.g. v1."),
      protocol: text("http or grpc; both when not given."),
    }),
  );
}

function metrics(what: string): Schema {
  const label = object("A label.", { "name*": text("Its name."), "regex*": map("New value to the expression that gives it.", plainText) });
  return object(
    what,
    {
      "enabled*": bool("Whether metrics are collected."),
      recordErrorCodes: bool("Count error codes too."),
      latencyDistributionBuckets: list("Upper bounds of latency histograms, milliseconds.", { type: "integer" }),
      http: object("Metrics of HTTP requests.", {
        increasedCardinality: bool("Keep paths as they are."),
        pathMatching: list("Paths that are told apart, e.g. /orders/{id}.", plainText),
        excludeVerbs: bool("Do not tell methods apart."),
      }),
      rules: list("Rewrites of labels.", object("Of one metric.", { "name*": text("Its name."), "labels*": list("Its labels.", label) })),
    },
    { default: { enabled: true } },
  );
}

const accessControl = object("Which apps may invoke this one.", {
  defaultAction: text("allow or deny where no policy says otherwise."),
  trustDomain: text("Trust domain of this app."),
  policies: list(
    "By calling app.",
    object("What one app may do.", {
      "appId*": text("The calling app."),
      namespace: text("Its namespace."),
      trustDomain: text("Its trust domain."),
      defaultAction: text("allow or deny where no operation says otherwise."),
      operations: list(
        "By path.",
        object("An operation.", {
          "name*": text("Path, with * and **."),
          "action*": text("allow or deny."),
          httpVerb: list("Methods; * is any.", plainText),
        }),
      ),
    }),
  ),
});

const mtls = object("Certificates of the mesh; read from the control plane's Configuration.", {
  "enabled*": bool("Whether sidecars speak TLS to each other."),
  "controlPlaneTrustDomain*": text("Trust domain of the control plane."),
  "sentryAddress*": text("Where sidecars find sentry, host:port."),
  workloadCertTTL: text("Life of certificates, e.g. 24h."),
  allowedClockSkew: text("By how much clocks may differ, e.g. 15m."),
  tokenValidators: list(
    "How sentry checks tokens.",
    object("A validator.", { "name*": text("Its kind.", { enum: ["jwks"] }), options: anyObject("Its settings.") }),
  ),
});

const tracing = object("Where traces go.", {
  "samplingRate*": text("Share of requests that are traced, 0 to 1."),
  stdout: bool("Write spans to the log."),
  zipkin: object("To a Zipkin server.", { "endpointAddress*": text("Its URL.") }),
  otel: object("To an OpenTelemetry collector.", {
    "endpointAddress*": text("Its address, host:port."),
    "isSecure*": bool("Speak TLS to it."),
    "protocol*": text("http or grpc."),
    headers: list("Headers that every export carries.", nameValue("A header")),
    timeout: text("Longest time for an export, e.g. 10s."),
  }),
});

function limits(what: string): Schema {
  return list(what, object("Of one name.", { name: text("The name."), maxConcurrent: int32("At most so many at once.") }));
}

const workflow = object("Workflows.", {
  maxConcurrentWorkflowInvocations: int32("Workflow turns at once, per sidecar."),
  maxConcurrentActivityInvocations: int32("Activities at once, per sidecar."),
  globalMaxConcurrentWorkflowInvocations: int32("Workflow turns at once, of all replicas."),
  globalMaxConcurrentActivityInvocations: int32("Activities at once, of all replicas."),
  workflowConcurrencyLimits: limits("Workflow turns at once, by workflow."),
  activityConcurrencyLimits: limits("Activities at once, by activity."),
  stateRetentionPolicy: object("How long the state of ended workflows is kept.", {
    anyTerminal: text("However they ended, e.g. 24h."),
    completed: text("If they completed."),
    failed: text("If they failed."),
    terminated: text("If they were terminated."),
  }),
});

const secrets = object("Which secrets apps may read.", {
  "scopes*": list(
    "By store.",
    object("A store.", {
      "storeName*": text("Name of the secret store."),
      defaultAccess: text("allow or deny where no list says otherwise."),
      allowedSecrets: list("Secrets that may be read, and no others.", plainText),
      deniedSecrets: list("Secrets that may not be read.", plainText),
    }),
  ),
});

const spec = object("Settings; what is not given is as by default.", {
  accessControl,
  api: object("Which APIs apps may use.", { allowed: apis("These and no others."), denied: apis("All but these.") }),
  appHttpPipeline: pipeline("Middleware of calls from the sidecar to the app."),
  components: object("Components in general.", { deny: list("Types that may not be loaded.", plainText) }),
  features: list("Preview features.", object("A feature.", { "name*": text("Its name."), "enabled*": bool("On or off.") })),
  httpPipeline: pipeline("Middleware of calls to the sidecar's HTTP API."),
  logging: object("Logs.", {
    apiLogging: object("Of API calls.", {
      enabled: bool("Whether they are logged."),
      obfuscateURLs: bool("Write route patterns in the place of paths."),
      omitHealthChecks: bool("Leave health checks out."),
    }),
  }),
  metric: metrics("The old name of metrics."),
  metrics: metrics("Prometheus metrics."),
  mtls,
  nameResolution: object("How apps find each other.", {
    "component*": text("The driver, e.g. kubernetes."),
    "version*": text("Its version, e.g. v1."),
    "configuration*": anyObject("Its settings."),
  }),
  secrets,
  tracing,
  wasm: object("WebAssembly components.", { strictSandbox: bool("Without clocks and randomness of the host.") }),
  workflow,
});

export const configurationCrd: CrdSource = {
  file: "configuration",
  kind: "Configuration",
  plural: "configurations",
  versions: [
    {
      name: "v1alpha1",
      storage: true,
      description: "How sidecars work, for pods that name it in dapr.io/config; daprsystem is the control plane's own.",
      columns: [column("Tracing", ".spec.tracing.samplingRate"), column("Metrics", ".spec.metrics.enabled", "boolean", 1)],
      properties: { spec },
    },
  ],
};
