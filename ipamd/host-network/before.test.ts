import {
  closeSync,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { memoryLogger } from "../../common/log.ts";
import { temporaryFolder } from "../../test/shim/daemon.ts";
import { FileBeforeBook, readHostBefore } from "./before.ts";

const link = (index: number) => ({ index, name: "eth0", mtuBytes: 1500, up: true, group: 0 });
const noted = (index: number) => ({ name: "eth0", index, up: true, group: 0, alias: "" });

it("aws-92: FileBeforeBook replaces its file, and writes into nothing that an earlier container left", () => {
  using folder = temporaryFolder();
  const file = join(folder.path, "host-before.json");
  const old = [file, `${file}.tmp`].map((name) => {
    writeFileSync(name, "of an earlier container");
    return openSync(name, "r");
  });
  new FileBeforeBook(file, "b1", memoryLogger().log).link(link(2));
  expect(readHostBefore(file)?.links).toEqual([noted(2)]);
  for (const held of old) {
    expect(fstatSync(held).ino).not.toBe(statSync(file).ino);
    expect(readFileSync(held, "utf8")).toBe("of an earlier container");
    closeSync(held);
  }
  expect(readdirSync(folder.path)).toEqual(["host-before.json"]);
});

it("FileBeforeBook keeps what it cannot write, says so once, and writes it with the next note", () => {
  using folder = temporaryFolder();
  // a file where the folder should be: closed to root too
  const place = join(folder.path, "causeway");
  writeFileSync(place, "");
  const file = join(place, "host-before.json");
  const { log, lines } = memoryLogger();
  const book = new FileBeforeBook(file, "b1", log);
  book.link(link(2));
  book.link(link(3));
  expect(lines).toMatchObject([{ level: "warn", file }]);
  rmSync(place);
  book.link(link(3));
  expect(readHostBefore(file)?.links).toEqual([noted(2), noted(3)]);
});
