// Ties the error tables of the sources to docs/reference/errors.md, both ways (design.md §3, rule 14): every row is on the page with its
// cause and its remedy, and the page holds nothing else.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { GrpcCode } from "../lib/kit/errors.ts";
import { errorTables } from "./error-tables.ts";

const page = readFileSync(new URL("../docs/reference/errors.md", import.meta.url), "utf8");
const codeNames = new Map(Object.entries(GrpcCode).map(([name, code]) => [code as number, name]));

/** The page's rows: section, then the cells without padding. `\|` stands for a bar within a cell. */
function pageRows(): { readonly section: string; readonly cells: readonly string[] }[] {
  let section = "";
  const rows: { section: string; cells: string[] }[] = [];
  for (const line of page.split("\n")) {
    section = /^## (\w+)/.exec(line)?.[1] ?? section;
    if (!line.startsWith("| `")) continue;
    const cells = line.split(/(?<!\\)\|/).slice(1, -1);
    rows.push({ section, cells: cells.map((cell) => cell.trim().replaceAll("\\|", "|")) });
  }
  return rows;
}

const key = (section: string, cells: readonly string[]) => `## ${section} | ${cells.slice(0, 5).join(" | ")} |`;

test("every error row is on the page as the sources have it, and no other", async () => {
  const inSources = (await errorTables()).flatMap(({ section, rows }) =>
    Object.entries(rows).map(([name, { code, http, grpc, message }]) =>
      key(section, [`\`${name}\``, `\`${code}\``, String(http), codeNames.get(grpc) ?? "", `\`${message}\``]),
    ),
  );
  const onPage = pageRows().map(({ section, cells }) => key(section, cells));
  assert.ok(inSources.length > 40, `only ${inSources.length} rows were found`);
  assert.deepEqual(
    inSources.filter((row) => !onPage.includes(row)),
    [],
    "in the sources, not on the page: add the row with cause and remedy",
  );
  assert.deepEqual(
    onPage.filter((row) => !inSources.includes(row)),
    [],
    "on the page, not in the sources",
  );
  assert.equal(new Set(onPage).size, onPage.length, "a row is there twice");
});

test("every row says why it comes and what to do", () => {
  for (const { section, cells } of pageRows()) {
    assert.equal(cells.length, 7, `${section} ${cells[0]}`);
    for (const text of cells.slice(5)) assert.match(text, /\w+ \w+/, `${section} ${cells[0]} has no cause or no remedy`);
  }
});
