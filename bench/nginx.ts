// nginx in all its parts: the apps under test (fixed answers, cheaper than any subject: over HTTP/1.1, and over gRPC one empty message
// to whatever is called) and the unit of the table (the HTTP app behind nginx as a one-hop proxy with keep-alive on both sides).
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Where a server block's answers come from. */
type Role = { readonly kind: "app" } | { readonly kind: "grpc-app" } | { readonly kind: "proxy"; readonly appPort: number };

/** Writes the configuration of one nginx with one worker; answers the arguments to start it with. */
export function nginxArgs(folder: string, name: string, port: number, role: Role): string[] {
  const root = join(folder, name);
  mkdirSync(root, { recursive: true });
  const path = join(root, "nginx.conf");
  writeFileSync(join(root, "empty-message"), Buffer.alloc(5));
  writeFileSync(path, configuration(root, port, role));
  return ["-p", root, "-c", path, "-e", join(root, "error.log"), "-g", "daemon off;"];
}

const locations: Readonly<Record<Role["kind"], string>> = {
  app: 'location /dapr/ { return 404; }\n    location / { default_type text/plain; return 200 "hello"; }',
  // nginx refuses to POST to a file: the error page is the answer.
  "grpc-app": `location / { try_files /empty-message =404; error_page 405 =200 /empty-message; }
    location = /empty-message { default_type application/grpc; add_trailer grpc-status 0; open_file_cache max=1 inactive=1h; }`,
  proxy: 'location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; }',
};

function configuration(root: string, port: number, role: Role): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((kind) => `${kind}_temp_path ${root}/${kind};`).join("\n  ");
  const upstream =
    role.kind === "proxy" ? `upstream app { server 127.0.0.1:${role.appPort}; keepalive 64; keepalive_requests 1000000000; }` : "";
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
  root ${root};
  server {
    listen 127.0.0.1:${port}${role.kind === "grpc-app" ? " http2" : ""};
    ${locations[role.kind]}
  }
}
`;
}
