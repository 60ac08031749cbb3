// nginx in both its parts: the app under test (a fixed answer, cheaper than any subject) and the unit of the table (the same app
// behind nginx as a one-hop proxy with keep-alive on both sides).
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Where a server block's answers come from. */
type Role = { readonly kind: "app" } | { readonly kind: "proxy"; readonly appPort: number };

/** Writes the configuration of one nginx with one worker; answers the arguments to start it with. */
export function nginxArgs(folder: string, name: string, port: number, role: Role): string[] {
  const root = join(folder, name);
  mkdirSync(root, { recursive: true });
  const path = join(root, "nginx.conf");
  writeFileSync(path, configuration(root, port, role));
  return ["-p", root, "-c", path, "-e", join(root, "error.log"), "-g", "daemon off;"];
}

function configuration(root: string, port: number, role: Role): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((kind) => `${kind}_temp_path ${root}/${kind};`).join("\n  ");
  const upstream =
    role.kind === "proxy" ? `upstream app { server 127.0.0.1:${role.appPort}; keepalive 64; keepalive_requests 1000000000; }` : "";
  const location =
    role.kind === "proxy"
      ? 'location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; }'
      : 'location /dapr/ { return 404; }\n    location / { default_type text/plain; return 200 "hello"; }';
  // As root nginx would drop to a user that may not enter our folder.
  const user = process.getuid?.() === 0 ? "user root;" : "";
  return `${user}
worker_processes 1;
pid ${root}/nginx.pid;
events { worker_connections 2048; }
http {
  access_log off;
  ${temporary}
  keepalive_requests 1000000000;
  keepalive_timeout 3600s;
  ${upstream}
  server {
    listen 127.0.0.1:${port};
    ${location}
  }
}
`;
}
