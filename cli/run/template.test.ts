import assert from "node:assert/strict";
import { test } from "node:test";
import { parseTemplate, TemplateError } from "./template.ts";

const everything = () => true;
/** Nothing named `.dapr` is there. */
const noDotDapr = (path: string) => !path.includes("/.dapr");

function plansOf(text: string, exists: (path: string) => boolean = noDotDapr) {
  return parseTemplate("/demo/dapr.yaml", text, exists).plans;
}

function problemsOf(text: string, exists: (path: string) => boolean = everything): readonly string[] {
  try {
    parseTemplate("/demo/dapr.yaml", text, exists);
    return [];
  } catch (error) {
    assert.ok(error instanceof TemplateError);
    return error.problems;
  }
}

test("an app takes from common what it does not say itself", () => {
  const [one, two] = plansOf(`
version: 1
common:
  resourcesPath: ./shared
  configFilePath: ./config.yaml
  appProtocol: grpc
  logLevel: debug
  appLogDestination: file
  env: { A: "1", B: "2" }
apps:
  - appID: one
    appDirPath: ./one/
    appPort: 6001
    daprHTTPPort: 3500
    command: ["node", "app.js", 7]
  - appDirPath: two
    resourcesPaths: [./own, /absolute]
    configFilePath: own.yaml
    appProtocol: http
    enableAppHealthCheck: true
    appHealthProbeInterval: 3
    env: { B: "3" }
`);
  assert.equal(one?.workDir, "/demo/one");
  assert.deepEqual(one?.command, ["node", "app.js", "7"]);
  assert.equal(one?.appPort, 6001);
  assert.deepEqual(one?.ports, { http: 3500, grpc: null, internalGrpc: null, metrics: null, profile: null });
  assert.deepEqual(one?.resourcesPaths, ["/demo/shared"]);
  assert.deepEqual(one?.configFiles, ["/demo/config.yaml"]);
  assert.deepEqual({ ...one?.settings }, { "app-protocol": "grpc", "log-level": "debug" });
  assert.deepEqual(one?.env, { A: "1", B: "2" });
  assert.equal(one?.appLog, "file");
  assert.equal(one?.sidecarLog, "file");
  assert.equal(two?.appId, "two");
  assert.deepEqual(two?.command, []);
  assert.deepEqual(two?.resourcesPaths, ["/demo/two/own", "/absolute"]);
  assert.deepEqual(two?.configFiles, ["/demo/two/own.yaml"]);
  assert.deepEqual(
    { ...two?.settings },
    { "app-protocol": "http", "log-level": "debug", "enable-app-health-check": "true", "app-health-probe-interval": "3" },
  );
  assert.deepEqual(two?.env, { A: "1", B: "3" });
});

test("an app's .dapr folder comes before common", () => {
  const text = "version: 1\ncommon: { resourcesPath: ./shared, configFilePath: ./c.yaml }\napps: [{ appDirPath: ./one }]";
  const [plan] = plansOf(text, everything);
  assert.deepEqual(plan?.resourcesPaths, ["/demo/one/.dapr/resources"]);
  assert.deepEqual(plan?.configFiles, ["/demo/one/.dapr/config.yaml"]);
});

test("without resources the defaults apply, and -1 is any port", () => {
  const [plan] = plansOf("version: 1\napps: [{ appDirPath: ./one, appPort: -1, metricsPort: 0 }]");
  assert.equal(plan?.resourcesPaths, null);
  assert.deepEqual(plan?.configFiles, []);
  assert.equal(plan?.appPort, null);
  assert.equal(plan?.ports.metrics, null);
  assert.equal(plan?.appLog, "fileAndConsole");
});

test("the name is the template's or its folder's", () => {
  assert.equal(parseTemplate("/demo/dapr.yaml", "version: 1\nname: n\napps: [{appDirPath: .}]", everything).name, "n");
  assert.equal(parseTemplate("/demo/dapr.yaml", "version: 1\napps: [{appDirPath: .}]", everything).name, "demo");
});

test("unknown fields are warned of, Kubernetes fields are not", () => {
  const { warnings } = parseTemplate(
    "/demo/dapr.yaml",
    "version: 1\ncommon: { nonsense: 1 }\napps: [{ appDirPath: ., containerImage: x, appdirpath: y }]",
    everything,
  );
  assert.deepEqual(warnings, ["common.nonsense is not known and was ignored", "apps[0].appdirpath is not known and was ignored"]);
});

test("all problems are reported together", () => {
  const text = `
version: 2
apps:
  - appID: one
    command: node app.js
    appPort: many
    appLogDestination: printer
    env: [A]
  - appDirPath: ./gone
`;
  const problems = problemsOf(text, (path) => !path.endsWith("gone"));
  assert.deepEqual(problems, [
    "version is 2: this CLI reads version: 1",
    "apps[0].appDirPath is missing: name the app's folder",
    'apps[0].command must be a list of words, e.g. ["node", "app.js"]',
    "apps[0].env must be a mapping of fields",
    "apps[0].appPort must be a port number",
    "apps[0].appLogDestination must be one of file, console, fileAndConsole",
    "apps[1].appDirPath: /demo/gone does not exist",
  ]);
});

test("files that are no template are refused", () => {
  assert.match(problemsOf("a: [")[0] as string, /^not YAML: /);
  assert.match(problemsOf("just text").join(), /the file must be a mapping/);
  assert.match(problemsOf("version: 1").join(), /apps is empty/);
});
