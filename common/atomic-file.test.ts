import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "../test/shim/daemon.ts";
import { writeFileAtomically } from "./atomic-file.ts";

describe("writeFileAtomically()", () => {
  it("replaces a file, with the mode asked for whatever the umask, and leaves no other", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.json");
    writeFileSync(path, "old", { mode: 0o644 });
    await writeFileAtomically(path, "new", { mode: 0o666 });
    expect(readFileSync(path, "utf8")).toBe("new");
    expect(statSync(path).mode & 0o777).toBe(0o666);
    expect(readdirSync(folder.path)).toEqual(["x.json"]);
  });

  it("leaves what was there, and no temporary file, when it fails", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.json");
    mkdirSync(path);
    await expect(writeFileAtomically(path, "new", { mode: 0o600 })).rejects.toThrow();
    expect(readdirSync(folder.path)).toEqual(["x.json"]);
    expect(statSync(path).isDirectory()).toBe(true);
  });

  it("never shows a reader a part of the text", async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.json");
    const texts = ["a".repeat(100_000), "b".repeat(100_000)];
    await writeFileAtomically(path, texts[0] ?? "", { mode: 0o600 });
    const writes = Array.from({ length: 20 }, (_, round) =>
      writeFileAtomically(path, texts[round % 2] ?? "", { mode: 0o600 }),
    );
    const done = Promise.allSettled(writes);
    let ended = false;
    void done.then(() => (ended = true));
    while (!ended) {
      expect(texts).toContain(readFileSync(path, "utf8"));
      await new Promise(setImmediate);
    }
    expect(readdirSync(folder.path)).toEqual(["x.json"]);
  });
});
