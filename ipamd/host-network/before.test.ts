import { closeSync, fstatSync, openSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { temporaryFolder } from "../../test/shim/daemon.ts";
import { FileBeforeBook, readHostBefore } from "./before.ts";

it("aws-92: FileBeforeBook replaces its file, and writes into nothing that an earlier container left", () => {
  using folder = temporaryFolder();
  const file = join(folder.path, "host-before.json");
  const old = [file, `${file}.tmp`].map((name) => {
    writeFileSync(name, "of an earlier container");
    return openSync(name, "r");
  });
  new FileBeforeBook(file, "b1").link({ index: 2, name: "eth0", mtuBytes: 1500, up: true, group: 0 });
  expect(readHostBefore(file)?.links).toEqual([{ index: 2, name: "eth0", up: true, group: 0, alias: "" }]);
  for (const held of old) {
    expect(fstatSync(held).ino).not.toBe(statSync(file).ino);
    expect(readFileSync(held, "utf8")).toBe("of an earlier container");
    closeSync(held);
  }
  expect(readdirSync(folder.path)).toEqual(["host-before.json"]);
});
