import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { injected, patchedPod, testPod } from "./test-inputs.ts";

const on = { "dapr.io/enabled": "true", "dapr.io/app-id": "orders", "dapr.io/app-port": "3000" };
// biome-ignore lint/suspicious/noExplicitAny: tests look into JSON
const sidecarOf = (pod: any) => [...(pod.spec.initContainers ?? []), ...pod.spec.containers].find(({ name }) => name === "daprd");
const argumentAfter = (args: readonly string[], flag: string) => args[args.indexOf(flag) + 1];
const errorsOf = (pod: unknown, around = {}) => {
  const injection = injected(pod, around);
  assert.equal(injection?.kind, "refused");
  return injection.problems.filter(({ severity }) => severity === "error").map(({ field, cause }) => `${field}: ${cause}`);
};
const warningsOf = (pod: unknown, around = {}) => (injected(pod, around)?.problems ?? []).map(({ cause }) => cause);

describe("the container", () => {
  test("is native where the server can, classic where it cannot or nobody knows", () => {
    const native = patchedPod(testPod(on));
    assert.deepEqual([native.spec.initContainers[0].name, native.spec.initContainers[0].restartPolicy], ["daprd", "Always"]);
    assert.equal(native.spec.containers.length, 1);
    const classic = patchedPod(testPod(on), { facts: { nativeSidecars: false } });
    assert.deepEqual([classic.spec.containers[1].name, classic.spec.containers[1].restartPolicy], ["daprd", undefined]);
    assert.equal(classic.spec.initContainers, undefined);
  });

  test("annotation, then setting, decide over native", () => {
    const classic = { settings: { nativeSidecar: "never" } } as const;
    assert.equal(patchedPod(testPod(on), classic).spec.containers[1].name, "daprd");
    assert.equal(patchedPod(testPod({ ...on, "dapr.io/enable-native-sidecar": "true" }), classic).spec.initContainers[0].name, "daprd");
    const always = { settings: { nativeSidecar: "always" }, facts: { nativeSidecars: false } } as const;
    assert.equal(patchedPod(testPod(on), always).spec.initContainers[0].name, "daprd");
    assert.equal(patchedPod(testPod({ ...on, "dapr.io/enable-native-sidecar": "false" })).spec.containers[1].name, "daprd");
  });

  test("comes after the init containers that are there", () => {
    const pod = patchedPod(testPod(on, { initContainers: [{ name: "wait", image: "w" }] }));
    assert.deepEqual(
      pod.spec.initContainers.map(({ name }: { name: string }) => name),
      ["wait", "daprd"],
    );
  });

  test("has Dapr's ports, arguments and probes", () => {
    const sidecar = sidecarOf(patchedPod(testPod(on)));
    assert.deepEqual(sidecar.ports, [
      { containerPort: 3500, name: "dapr-http" },
      { containerPort: 50001, name: "dapr-grpc" },
      { containerPort: 50002, name: "dapr-internal" },
      { containerPort: 9090, name: "dapr-metrics" },
    ]);
    assert.deepEqual(
      sidecar.args.join(" "),
      "/daprd --dapr-http-port 3500 --dapr-grpc-port 50001 --dapr-internal-grpc-port 50002 --dapr-listen-addresses [::1],127.0.0.1 " +
        "--dapr-public-port 3501 --app-id orders --app-protocol http --log-level info --dapr-graceful-shutdown-seconds -1 --mode kubernetes " +
        "--control-plane-address dapr-api.dapr-system.svc.cluster.local:443 --sentry-address dapr-sentry.dapr-system.svc.cluster.local:443 " +
        "--app-port 3000 --enable-metrics --metrics-port 9090 " +
        "--placement-host-address dapr-placement-server.dapr-system.svc.cluster.local:50005 --enable-mtls " +
        "--scheduler-host-address dapr-scheduler-server-a.dapr-system.svc.cluster.local:443",
    );
    assert.deepEqual(sidecar.readinessProbe.httpGet, { path: "/v1.0/healthz", port: 3501 });
    assert.deepEqual(sidecar.livenessProbe.tcpSocket, { port: 3501 });
    assert.equal(sidecar.command, undefined);
  });

  test("passes the restricted Pod Security level", () => {
    assert.deepEqual(sidecarOf(patchedPod(testPod(on))).securityContext, {
      allowPrivilegeEscalation: false,
      runAsNonRoot: true,
      readOnlyRootFilesystem: true,
      seccompProfile: { type: "RuntimeDefault" },
      capabilities: { drop: ["ALL"] },
    });
  });

  test("has a user of its own in a pod that runs as root", () => {
    const security = (user: number) => sidecarOf(patchedPod(testPod(on, { securityContext: { runAsUser: user } }))).securityContext;
    assert.deepEqual([security(0).runAsUser, security(1000).runAsUser], [65532, undefined]);
  });

  test("has nothing of Linux in a pod for Windows", () => {
    const env = { ...on, "dapr.io/env": "SSL_CERT_DIR=c:\\certs" };
    assert.deepEqual(sidecarOf(patchedPod(testPod(env, { os: { name: "windows" } }))).securityContext, {
      runAsNonRoot: false,
      windowsOptions: { runAsUserName: "ContainerAdministrator" },
    });
    assert.deepEqual(sidecarOf(patchedPod(testPod(on, { nodeSelector: { "kubernetes.io/os": "windows" } }))).securityContext, {});
  });

  test("has its environment, secrets by reference only", () => {
    const { env } = sidecarOf(
      patchedPod(testPod({ ...on, "dapr.io/env": "A=1,B=2", "dapr.io/env-from-secret": "C=s:k", "dapr.io/api-token-secret": "tokens" })),
    );
    assert.deepEqual(env, [
      { name: "NAMESPACE", value: "shop" },
      { name: "DAPR_TRUST_ANCHORS", value: "ANCHORS" },
      { name: "POD_NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
      { name: "DAPR_CONTROLPLANE_NAMESPACE", value: "dapr-system" },
      { name: "DAPR_CONTROLPLANE_TRUST_DOMAIN", value: "cluster.local" },
      { name: "A", value: "1" },
      { name: "B", value: "2" },
      { name: "C", valueFrom: { secretKeyRef: { name: "s", key: "k" } } },
      { name: "DAPR_ENV_KEYS", value: "A B C" },
      { name: "DAPR_API_TOKEN", valueFrom: { secretKeyRef: { name: "tokens", key: "token" } } },
    ]);
  });

  test("has resources when asked for", () => {
    const amounts = { "dapr.io/sidecar-cpu-limit": "1", "dapr.io/sidecar-memory-request": "64Mi", "dapr.io/sidecar-memory-limit": "oops" };
    assert.deepEqual(sidecarOf(patchedPod(testPod({ ...on, ...amounts }))).resources, {
      requests: { memory: "64Mi" },
      limits: { cpu: "1" },
    });
    assert.equal(sidecarOf(patchedPod(testPod(on))).resources, undefined);
  });

  test("has command and arguments apart for known tolerations", () => {
    const toleration = { key: "virtual-kubelet.io/provider", operator: "Exists" };
    const around = { settings: { ignoreEntrypointTolerations: [toleration] } };
    const sidecar = sidecarOf(patchedPod(testPod(on, { tolerations: [toleration] }), around));
    assert.deepEqual([sidecar.command, sidecar.args[0]], [["/daprd"], "--dapr-http-port"]);
    const other = sidecarOf(patchedPod(testPod(on, { tolerations: [{ ...toleration, effect: "NoExecute" }] }), around));
    assert.equal(other.command, undefined);
  });

  test("starts under a debugger as Dapr's does", () => {
    const sidecar = sidecarOf(patchedPod(testPod({ ...on, "dapr.io/enable-debug": "true", "dapr.io/debug-port": "4444" })));
    assert.equal(
      sidecar.args.slice(0, 10).join(" "),
      "/dlv --listen :4444 --accept-multiclient --headless=true --log --api-version=2 exec /daprd --",
    );
    assert.deepEqual(sidecar.ports.at(-1), { containerPort: 4444, name: "dapr-debug" });
  });
});

describe("arguments", () => {
  const argsOf = (annotations: Record<string, string>, around = {}): string[] =>
    sidecarOf(patchedPod(testPod({ ...on, ...annotations }), around)).args;
  const cases: readonly (readonly [string, string, string])[] = [
    ["config", "tracing", "--config tracing"],
    ["app-channel-address", "10.0.0.1", "--app-channel-address 10.0.0.1"],
    ["placement-host-address", "p:1", "--placement-host-address p:1"],
    ["sentry-request-jwt-audiences", "a,b", "--sentry-request-jwt-audiences a,b"],
    ["enable-api-logging", "false", "--enable-api-logging=false"],
    ["disable-builtin-k8s-secret-store", "on", "--disable-builtin-k8s-secret-store"],
    [
      "enable-app-health-check",
      "1",
      "--enable-app-health-check --app-health-check-path /healthz --app-health-probe-interval 5 --app-health-probe-timeout 500 --app-health-threshold 3",
    ],
    ["app-binding-options-timeout", "30s", "--app-binding-options-timeout 30s"],
    ["log-as-json", "true", "--log-as-json"],
    ["enable-profiling", "true", "--enable-profiling"],
    ["app-ssl", "true", "--app-ssl"],
    ["app-max-concurrency", "9", "--app-max-concurrency 9"],
    ["http-max-request-size", "8", "--dapr-http-max-request-size 8"],
    ["max-body-size", "8Mi", "--max-body-size 8Mi"],
    ["http-read-buffer-size", "8", "--dapr-http-read-buffer-size 8"],
    ["read-buffer-size", "8Ki", "--read-buffer-size 8Ki"],
    ["unix-domain-socket-path", "/sockets", "--unix-domain-socket /var/run/dapr-sockets"],
    ["block-shutdown-duration", "5s", "--dapr-block-shutdown-duration 5s"],
    ["actors-disseminate-timeout", "5s", "--actors-disseminate-timeout 5s"],
    ["scheduler-host-address", "s:1", "--scheduler-host-address s:1"],
    ["disable-init-endpoints", "dapr/config", "--disable-init-endpoints dapr/config"],
    ["graceful-shutdown-seconds", "9", "--dapr-graceful-shutdown-seconds 9"],
    ["grpc-port", "60001", "--dapr-grpc-port 60001"],
    ["internal-grpc-port", "60002", "--dapr-internal-grpc-port 60002"],
    ["sidecar-listen-addresses", "0.0.0.0", "--dapr-listen-addresses 0.0.0.0"],
    ["log-level", "debug", "--log-level debug"],
    ["app-protocol", "grpc", "--app-protocol grpc"],
  ];
  for (const [name, text, expected] of cases) {
    test(`${name}: ${text}`, () => {
      assert.ok(` ${argsOf({ [`dapr.io/${name}`]: text }).join(" ")} `.includes(` ${expected} `));
    });
  }

  test("an empty placement address switches actors off; metrics and mTLS can be off", () => {
    const off = argsOf({ "dapr.io/placement-host-address": "", "dapr.io/enable-metrics": "false" }, { facts: { mtls: false } });
    for (const flag of ["--placement-host-address", "--enable-metrics", "--metrics-port", "--enable-mtls"])
      assert.ok(!off.includes(flag), flag);
  });

  test("another actors service takes placement's place", () => {
    const actors = { flag: "--actors-service", value: "mine:a:1" } as const;
    assert.equal(argumentAfter(argsOf({}, { settings: { actors } }), "--actors-service"), "mine:a:1");
    const both = argsOf({ "dapr.io/placement-host-address": "p:1" }, { settings: { actors } });
    assert.deepEqual([argumentAfter(both, "--placement-host-address"), both.includes("--actors-service")], ["p:1", false]);
    assert.ok(
      !argsOf({}, { settings: { actors: null, schedulerEnabled: false } }).some((arg) => /placement|actors-service|scheduler/.test(arg)),
    );
  });

  test("no annotation adds a flag: each text stays one argument", () => {
    const args = argsOf({ "dapr.io/config": "x --enable-profiling\n--log-as-json", "dapr.io/app-channel-address": "--app-ssl" });
    assert.equal(argumentAfter(args, "--config"), "x --enable-profiling\n--log-as-json");
    assert.equal(args[args.indexOf("--app-channel-address") + 1], "--app-ssl");
    assert.deepEqual([args.includes("--enable-profiling"), args.filter((arg) => arg === "--app-ssl").length], [false, 1]);
  });
});

describe("the pod around it", () => {
  test("app containers get variables, those they set themselves stay", () => {
    const env = [{ name: "DAPR_HTTP_PORT", value: "1" }];
    const pod = patchedPod(testPod({ ...on, "dapr.io/app-ssl": "true" }, { containers: [{ name: "a", env }, { name: "b" }] }));
    assert.deepEqual(pod.spec.containers[0].env, [
      env[0],
      { name: "DAPR_GRPC_PORT", value: "50001" },
      { name: "APP_PROTOCOL", value: "https" },
    ]);
    assert.deepEqual(pod.spec.containers[1].env[0], { name: "DAPR_HTTP_PORT", value: "3500" });
  });

  test("labels say what has happened", () => {
    const labels = { "dapr.io/sidecar-injected": "true", "dapr.io/app-id": "orders", "dapr.io/metrics-enabled": "true" };
    assert.deepEqual(patchedPod(testPod(on)).metadata.labels, labels);
    assert.deepEqual(patchedPod(testPod(on, {}, { labels: { app: "x" } })).metadata.labels, { app: "x", ...labels });
    assert.deepEqual(patchedPod(testPod(on, {}, { labels: null })).metadata.labels, labels);
  });

  test("the token for sentry has sentry as its audience", () => {
    const pod = patchedPod(testPod(on));
    assert.deepEqual(pod.spec.volumes, [
      {
        name: "dapr-identity-token",
        projected: {
          defaultMode: 420,
          sources: [
            {
              serviceAccountToken: {
                audience: "spiffe://cluster.local/ns/dapr-system/dapr-sentry",
                expirationSeconds: 7200,
                path: "token",
              },
            },
          ],
        },
      },
    ]);
    assert.deepEqual(sidecarOf(pod).volumeMounts, [
      { name: "dapr-identity-token", mountPath: "/var/run/secrets/dapr.io/sentrytoken", readOnly: true },
    ]);
    assert.equal(patchedPod(testPod(on), { settings: { tokenVolume: false } }).spec.volumes, undefined);
  });

  test("Unix sockets are a folder in memory, shared with the app", () => {
    const pod = patchedPod(testPod({ ...on, "dapr.io/unix-domain-socket-path": "/sock" }, { volumes: [{ name: "own" }] }));
    assert.deepEqual(pod.spec.volumes[1], { name: "dapr-unix-domain-socket", emptyDir: { medium: "Memory" } });
    assert.deepEqual(pod.spec.containers[0].volumeMounts, [{ name: "dapr-unix-domain-socket", mountPath: "/sock" }]);
    assert.deepEqual(sidecarOf(pod).volumeMounts[0], { name: "dapr-unix-domain-socket", mountPath: "/var/run/dapr-sockets" });
  });

  test("volumes that the pod lends, read only or not; one that is not there is a warning", () => {
    const lent = { ...on, "dapr.io/volume-mounts": "certs:/certs,nope:/x", "dapr.io/volume-mounts-rw": "data:/data" };
    const pod = testPod(lent, { volumes: [{ name: "certs" }, { name: "data" }] });
    assert.deepEqual(sidecarOf(patchedPod(pod)).volumeMounts.slice(0, 2), [
      { name: "certs", mountPath: "/certs", readOnly: true },
      { name: "data", mountPath: "/data" },
    ]);
    assert.match(warningsOf(pod).join(), /no volume nope/);
  });

  test("pluggable components share a folder of sockets with the sidecar", () => {
    const pod = patchedPod(
      testPod({ ...on, "dapr.io/pluggable-components": "store" }, { containers: [{ name: "app" }, { name: "store" }] }),
    );
    const mount = { name: "dapr-components-unix-domain-socket", mountPath: "/tmp/dapr-components-sockets" };
    assert.deepEqual(pod.spec.containers[1], {
      name: "store",
      env: [{ name: "DAPR_COMPONENT_SOCKETS_FOLDER", value: mount.mountPath }],
      volumeMounts: [mount],
    });
    assert.deepEqual(sidecarOf(pod).volumeMounts.at(-1), mount);
    assert.deepEqual(sidecarOf(pod).env.at(-1), { name: "DAPR_COMPONENT_SOCKETS_FOLDER", value: mount.mountPath });
    assert.ok(pod.spec.volumes.some(({ name }: { name: string }) => name === mount.name));
    assert.equal(pod.spec.containers[0].env[0].name, "DAPR_HTTP_PORT");
  });

  test("containers that Components bring are added with their volumes", () => {
    const componentContainers = [{ name: "mystore", image: "s:1", volumeMounts: [{ name: "cache", mountPath: "/c" }] }];
    const around = { context: { componentContainers }, facts: { nativeSidecars: false } };
    const pod = patchedPod(testPod({ ...on, "dapr.io/inject-pluggable-components": "true" }), around);
    const added = pod.spec.containers[2];
    assert.deepEqual([added.name, added.volumeMounts.length, added.env[0].name], ["mystore", 2, "DAPR_COMPONENT_SOCKETS_FOLDER"]);
    assert.deepEqual(
      pod.spec.volumes.map(({ name }: { name: string }) => name),
      ["dapr-identity-token", "dapr-components-unix-domain-socket", "cache"],
    );
  });
});

describe("who gets none", () => {
  test("pods that do not ask", () => {
    assert.deepEqual(
      [injected(testPod(null)), injected(testPod({ "dapr.io/enabled": "false" })), injected(testPod({ "dapr.io/app-id": "x" }))],
      [null, null, null],
    );
  });

  test("pods that have one, silently; with a stranger of that name, with a word", () => {
    for (const field of ["containers", "initContainers"]) {
      const spec = { containers: [{ name: "app" }], [field]: [{ name: "app" }, { name: "daprd" }] };
      const ours = injected(testPod(on, spec, { labels: { "dapr.io/sidecar-injected": "true" } }));
      assert.deepEqual(ours, { kind: "skipped", problems: [] });
      assert.match(warningsOf(testPod(on, spec)).join(), /container daprd of its own/);
    }
  });

  test("pods without containers, which the API server refuses", () => {
    for (const containers of [[], null, undefined]) assert.equal(injected(testPod(on, { containers }))?.kind, "skipped");
  });

  test("static pods", () => {
    assert.match(warningsOf(testPod({ ...on, "kubernetes.io/config.mirror": "x" })).join(), /static pod/);
  });
});

describe("refusals name the field", () => {
  const cases: readonly (readonly [string, Record<string, string>, Record<string, unknown>, RegExp])[] = [
    ["a bad app id", { "dapr.io/app-id": "A_b" }, {}, /app-id.*invalid app id \(input: 'A_b', service: 'A_b-dapr'\)/],
    ["a switch that is neither", { "dapr.io/enabled": "ture" }, {}, /dapr.io\/enabled.*neither true nor false/],
    ["one port twice", { "dapr.io/metrics-port": "50001" }, {}, /dapr-grpc and dapr-metrics are both 50001/],
    ["the health port", { "dapr.io/grpc-port": "3501" }, {}, /health and dapr-grpc are both 3501/],
    ["the app on a port of ours", { "dapr.io/app-port": "3500" }, {}, /3500 is the sidecar's port dapr-http/],
    ["a request over the limit", { "dapr.io/sidecar-cpu-request": "2", "dapr.io/sidecar-cpu-limit": "1500m" }, {}, /more than the limit/],
    ["a foreign token volume", {}, { volumes: [{ name: "dapr-identity-token", hostPath: { path: "/" } }] }, /not the sidecar's token/],
    ["a path mounted twice", { "dapr.io/volume-mounts": "a:/x,b:/x" }, { volumes: [{ name: "a" }, { name: "b" }] }, /mounted twice/],
    [
      "the token's folder",
      { "dapr.io/volume-mounts": "a:/var/run/secrets/dapr.io/sentrytoken" },
      { volumes: [{ name: "a" }] },
      /mounted twice/,
    ],
  ];
  for (const [what, annotations, spec, expected] of cases) {
    test(what, () => assert.match(errorsOf(testPod({ ...on, ...annotations }, spec)).join("\n"), expected));
  }

  test("an image that is not allowed", () => {
    const around = { settings: { allowedImages: (image: string) => image.startsWith("good/") } };
    assert.match(errorsOf(testPod({ ...on, "dapr.io/sidecar-image": "evil/x" }), around).join(), /does not allow the image evil\/x/);
    assert.equal(sidecarOf(patchedPod(testPod({ ...on, "dapr.io/sidecar-image": "good/x" }), around)).image, "good/x");
  });

  test("no app id and no name yet", () => {
    const pod = testPod({ "dapr.io/enabled": "true" }, {}, { name: undefined, generateName: "orders-5d-" });
    assert.match(errorsOf(pod).join(), /value for the dapr.io\/app-id annotation is empty/);
  });

  test("all problems at once", () => {
    assert.equal(errorsOf(testPod({ ...on, "dapr.io/app-id": "A", "dapr.io/log-level": "x", "dapr.io/metrics-port": "0" })).length, 3);
  });
});

describe("namespaces", () => {
  const wants = { context: { namespaceInjects: true } };

  test("one that injects gives pods a sidecar, an id and the annotations that others go by", () => {
    const labels = { "pod-template-hash": "5d4f" };
    const pod = patchedPod(testPod(null, {}, { name: undefined, generateName: "orders-5d4f-", labels }), wants);
    assert.deepEqual(pod.metadata.annotations, { "dapr.io/enabled": "true", "dapr.io/app-id": "orders" });
    assert.equal(argumentAfter(sidecarOf(pod).args, "--app-id"), "orders");
    const named = patchedPod(testPod({ x: "y" }, {}, { name: "", labels: { app: "cart" } }), wants);
    assert.deepEqual(named.metadata.annotations, { x: "y", "dapr.io/enabled": "true", "dapr.io/app-id": "cart" });
  });

  test("a pod can refuse, and what it says counts", () => {
    assert.equal(injected(testPod({ "dapr.io/enabled": "false" }), wants), null);
    const pod = patchedPod(testPod({ "dapr.io/app-id": "mine" }), wants);
    assert.deepEqual(pod.metadata.annotations, { "dapr.io/app-id": "mine", "dapr.io/enabled": "true" });
  });

  test("the control plane's own pods get none", () => {
    assert.equal(injected(testPod({ "dapr.io/control-plane": "injector" }), wants), null);
  });

  test("defaults come from the namespace's annotations", () => {
    const around = { context: { namespaceAnnotations: { "dapr.io/log-level": "debug", "dapr.io/sidecar-memory-limit": "100Mi" } } };
    const sidecar = sidecarOf(patchedPod(testPod(on), around));
    assert.deepEqual([argumentAfter(sidecar.args, "--log-level"), sidecar.resources], ["debug", { limits: { memory: "100Mi" } }]);
    assert.equal(argumentAfter(sidecarOf(patchedPod(testPod({ ...on, "dapr.io/log-level": "warn" }), around)).args, "--log-level"), "warn");
  });

  test("a bad default is said with the namespace's name", () => {
    const injection = injected(testPod(on), { context: { namespaceAnnotations: { "dapr.io/log-level": "loud" } } });
    assert.deepEqual([injection?.kind, injection?.problems[0]?.file], ["refused", "namespace shop"]);
  });
});
