import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readSmallFile } from "./small-file.ts";

let folder: string;
let file: string;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "small-file-"));
  file = path.join(folder, "a");
});
afterEach(() => rmSync(folder, { recursive: true }));

describe("readSmallFile()", () => {
  it("gives the whole text, without a byte order mark", () => {
    writeFileSync(file, "\uFEFFgrün\n");
    expect(readSmallFile(file, 100)).toEqual({ kind: "text", text: "grün\n" });
    writeFileSync(file, "");
    expect(readSmallFile(file, 100)).toEqual({ kind: "text", text: "" });
  });

  it("says that a file is not there, nor its folder", () => {
    for (const missing of [file, path.join(file, "b")]) {
      expect(readSmallFile(missing, 100)).toEqual({ kind: "missing", why: `${missing} is not there` });
    }
    writeFileSync(file, "");
    expect(readSmallFile(path.join(file, "b"), 100).kind).toBe("missing");
  });

  it.each<[what: string, make: () => void, why: string]>([
    ["one byte too many", () => writeFileSync(file, "x".repeat(11)), "has more than 10 bytes"],
    ["a pipe, without waiting for its writer", () => void execFileSync("mkfifo", [file]), "is not a file"],
    ["text that is not UTF-8", () => writeFileSync(file, Buffer.from([0xff, 0xfe])), "is not UTF-8"],
  ])("refuses %s", (_, make, why) => {
    make();
    expect(readSmallFile(file, 10)).toEqual({ kind: "unreadable", why: `${file} ${why}` });
  });

  it("takes exactly as many bytes as it may, and refuses a folder", () => {
    writeFileSync(file, "x".repeat(10));
    expect(readSmallFile(file, 10).kind).toBe("text");
    expect(readSmallFile(folder, 10).kind).toBe("unreadable");
  });
});
