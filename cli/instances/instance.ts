// A running app with its sidecar, as `list` shows it. Field names and order are those of `dapr list`, so scripts that read
// its JSON or YAML keep working.

export interface Instance {
  readonly appId: string;
  readonly httpPort: number;
  readonly grpcPort: number;
  readonly appPort: number;
  readonly metricsEnabled: boolean;
  readonly command: string;
  readonly age: string;
  readonly created: string;
  readonly daprdPid: number;
  readonly cliPid: number;
  readonly appPid: number;
  readonly runTemplatePath: string;
  readonly appLogPath: string;
  readonly daprdLogPath: string;
  readonly runTemplateName: string;
}

/** The largest unit only, as Dapr and kubectl show ages: 45s, 12m, 3h, 2d. */
export function ageText(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

/** `2026-11-22 14:05.09`, local time, as Dapr writes it. */
export function createdText(at: Date): string {
  const two = (value: number) => String(value).padStart(2, "0");
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${day} ${two(at.getHours())}:${two(at.getMinutes())}.${two(at.getSeconds())}`;
}

/** The fields of `list -o json` and yaml, in their order, and nothing else. */
export function outputOf(instance: Instance): Instance {
  const { appId, httpPort, grpcPort, appPort, metricsEnabled, command, age, created, daprdPid, cliPid, appPid } = instance;
  const { runTemplatePath, appLogPath, daprdLogPath, runTemplateName } = instance;
  const process = { appId, httpPort, grpcPort, appPort, metricsEnabled, command, age, created, daprdPid, cliPid, appPid };
  return { ...process, runTemplatePath, appLogPath, daprdLogPath, runTemplateName };
}

const columns: readonly [string, keyof Instance][] = [
  ["APP ID", "appId"],
  ["HTTP PORT", "httpPort"],
  ["GRPC PORT", "grpcPort"],
  ["APP PORT", "appPort"],
  ["COMMAND", "command"],
  ["AGE", "age"],
  ["CREATED", "created"],
  ["DAPRD PID", "daprdPid"],
  ["CLI PID", "cliPid"],
  ["APP PID", "appPid"],
  ["RUN_TEMPLATE_PATH", "runTemplatePath"],
  ["APP_LOG_PATH", "appLogPath"],
  ["DAPRD_LOG_PATH", "daprdLogPath"],
];
const commandMaxChars = 20;

/** The table of `list`, header first. */
export function instanceTable(instances: readonly Instance[]): string {
  const rows = instances.map((instance) => columns.map(([, field]) => cell(field, String(instance[field]))));
  const all = [columns.map(([title]) => title), ...rows];
  const widths = columns.map((_, column) => Math.max(...all.map((row) => (row[column] as string).length)));
  return all
    .map((row) =>
      row
        .map((text, column) => text.padEnd(widths[column] as number))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

function cell(field: keyof Instance, text: string): string {
  return field === "command" && text.length > commandMaxChars ? `${text.slice(0, commandMaxChars - 3)}...` : text;
}
