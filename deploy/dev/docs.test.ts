/** What the documentation says of files and tests is true of them. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { GENERATED_BLOCKS, replaceBlock } from "./generated-blocks.ts";

const tracked = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
  encoding: "utf8",
})
  .split("\n")
  .filter((file) => file !== "" && existsSync(file));
const pages = tracked.filter((file) => file.endsWith(".md") && !file.startsWith("test/"));
const read = (file: string) => readFileSync(file, "utf8");

/** Folders whose every file has a line in the code map; of others the folder has one. */
const MAPPED_WHOLE = ["common", "cni", "ipamd", "ipamd/host-network", "providers", "deploy/dev"];

function codeMap(): string[] {
  const [, block = ""] = /## Code map[\s\S]*?```\n([\s\S]*?)```/.exec(read("ARCHITECTURE.md")) ?? [];
  return block
    .split("\n")
    .map((line) => /^ *([\w-]+\/\S*)/.exec(line)?.[1])
    .filter((entry) => entry !== undefined);
}

/** Files that a reader of the map looks for: no tests, and nothing that only data is. */
function sources(folder: string): string[] {
  return tracked.filter(
    (file) => path.dirname(file) === folder && /\.(ts|c|sh)$/.test(file) && !file.endsWith(".test.ts"),
  );
}

describe("ARCHITECTURE.md's code map", () => {
  it("names files and folders that exist", () => {
    expect(codeMap().filter((entry) => !existsSync(entry))).toEqual([]);
  });

  it.each(MAPPED_WHOLE)("has a line for every source file of %s/", (folder) => {
    const map = codeMap();
    expect(sources(folder).filter((file) => !map.includes(file))).toEqual([]);
  });

  it("has a line for every folder of the first two levels", () => {
    const folders = new Set(
      tracked
        .map((file) => path.dirname(file).split("/").slice(0, 2).join("/"))
        .filter((folder) => !folder.startsWith(".") && !folder.startsWith("docs/"))
        .map((folder) => `${folder}/`),
    );
    const map = codeMap();
    expect([...folders].filter((folder) => !map.includes(folder))).toEqual([]);
  });
});

describe("the documentation", () => {
  it.each(pages)("%s names only files that exist", (page) => {
    const named = [...read(page).matchAll(/`((?:common|cni|ipamd|providers|deploy|test|docs)\/[^\s`]*)`/g)];
    const missing = named.map(([, file = ""]) => file).filter((file) => !existsSync(file));
    expect(missing).toEqual([]);
  });

  it.each(pages)("%s links only to files that exist", (page) => {
    const links = [...read(page).matchAll(/\]\(([^)\s]+)\)/g)].map(
      ([, link = ""]) => link.split("#")[0] ?? "",
    );
    const local = links.filter((link) => link !== "" && !/^[a-z]+:/.test(link));
    expect(local.filter((link) => !existsSync(path.join(path.dirname(page), link)))).toEqual([]);
  });

  it.each(GENERATED_BLOCKS)("$file has a place for the block $marker", ({ file, marker }) => {
    expect(() => replaceBlock(read(file), marker, "")).not.toThrow();
  });
});

describe("docs/operations.md", () => {
  const code = tracked
    .filter((file) => /^(ipamd|providers)\/.*\.ts$/.test(file) && !file.endsWith(".test.ts"))
    .map(read)
    .join("\n");
  /** What is in backticks in the first cell of each row under a heading. */
  const firstCells = (heading: string): string[] => {
    const [, section = ""] = read("docs/operations.md").split(`\n## ${heading}\n`);
    const rows = (section.split("\n## ")[0] ?? "").split("\n").filter((line) => line.startsWith("| `"));
    return rows.flatMap((row) => (row.split(" | ")[0] ?? "").match(/`[^`]+`/g) ?? []);
  };

  it.each(["Logs", "Metrics and the pool"])("names under %s only what the code says", (heading) => {
    const named = firstCells(heading).map((text) => text.replaceAll("`", ""));
    expect(named.length).toBeGreaterThan(4);
    expect(named.filter((text) => !code.includes(`"${text}"`))).toEqual([]);
  });
});

describe("docs/field-cases.md", () => {
  const text = read("docs/field-cases.md");
  const rows = [
    ...text.matchAll(/^\| ((?:aws|oth)-\d+) \| .* \| (holds|does not apply|open) \| (.*) \|$/gm),
  ].map(([, id = "", state = "", where = ""]) => ({ id, state, where }));
  const tests = rows.flatMap(({ id, where }) =>
    [...where.matchAll(/`([^`]+\.test\.ts)`: "([^"]+)"/g)].map(([, file = "", title = ""]) => ({
      id,
      file,
      title,
    })),
  );

  it("has each case once, and a state for each", () => {
    const ids = rows.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const lines = text.split("\n").filter((line) => /^\| (aws|oth)-/.test(line));
    expect(lines).toHaveLength(rows.length);
  });

  it("names only tests that exist, by file and title", () => {
    const missing = tests.filter(
      ({ file, title }) => !existsSync(file) || !read(file).includes(`"${title}"`),
    );
    expect(missing).toEqual([]);
  });

  it("has a test for each case that holds", () => {
    const shown = new Set(tests.map(({ id }) => id));
    expect(rows.filter(({ id, state }) => state === "holds" && !shown.has(id))).toEqual([]);
  });

  it("has a row for every case that begins a test's title", () => {
    const known = new Set(rows.map(({ id }) => id));
    const titled = tracked
      .filter((file) => file.endsWith(".test.ts"))
      .flatMap((file) => [...read(file).matchAll(/["`]((?:(?:aws|oth)-\d+(?:, )?)+): /g)])
      .flatMap(([, ids = ""]) => ids.split(", "));
    expect(titled.filter((id) => !known.has(id))).toEqual([]);
  });

  it("has at most eight open cases", () => {
    expect(rows.filter(({ state }) => state === "open").length).toBeLessThanOrEqual(8);
  });
});
