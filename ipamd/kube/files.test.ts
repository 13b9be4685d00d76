/** The node and its pods, as files tell of them. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { systemClock } from "../../common/clock.ts";
import { memoryLogger } from "../../common/log.ts";
import { FileNode } from "./node-file.ts";
import { FilePods } from "./pods-file.ts";

const SOON = { timeout: 2_000, interval: 10 };
const WEB = { uid: "u-1", namespace: "demo", name: "web" };

let folder: string;
let file: string;
let logged: ReturnType<typeof memoryLogger>;
const opened: Disposable[] = [];

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "kube-"));
  file = path.join(folder, "a.json");
  logged = memoryLogger();
});
afterEach(() => {
  for (const one of opened.splice(0)) one[Symbol.dispose]();
  rmSync(folder, { recursive: true });
});

function open<T extends Disposable>(Source: new (deps: ConstructorParameters<typeof FilePods>[0]) => T): T {
  const source = new Source({ path: file, clock: systemClock, log: logged.log });
  opened.push(source);
  return source;
}

const write = (content: unknown) =>
  writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
const complaints = () => logged.lines.filter(({ level }) => level === "warn").map(({ why }) => String(why));

describe("FilePods", () => {
  it("knows of nothing until the file is there, and then tells every change within 2 s", async () => {
    const pods = open(FilePods);
    expect(pods.list()).toBeUndefined();
    let changes = 0;
    const subscription = pods.subscribe(() => {
      changes += 1;
    });
    write([WEB]);
    await vi.waitFor(
      () => expect(pods.list()).toEqual([{ ...WEB, hostNetwork: false, finished: false }]),
      SOON,
    );
    write([{ ...WEB, finished: true, labels: { of: "no interest" } }]);
    await vi.waitFor(() => expect(pods.list()?.[0]?.finished).toBe(true), SOON);
    expect(changes).toBe(2);
    subscription[Symbol.dispose]();
    write([]);
    await vi.waitFor(() => expect(pods.list()).toEqual([]), SOON);
    expect(changes).toBe(2);
  });

  it.each([
    ["half of it", '[{"uid": "u-1"'],
    ["no byte", ""],
    ["another shape", { items: [] }],
    ["a pod without a name", [{ uid: "u-1", namespace: "demo" }]],
    ["a pod whose flag is a text", [{ ...WEB, finished: "true" }]],
  ])("keeps what it knew when the file has %s, and says so once", async (_, content) => {
    write([WEB]);
    const pods = open(FilePods);
    write(content);
    await vi.waitFor(() => expect(complaints()).toHaveLength(1), SOON);
    expect(pods.list()).toHaveLength(1);
    write([WEB, WEB]);
    await vi.waitFor(() => expect(pods.list()).toHaveLength(2), SOON);
    expect(complaints()).toHaveLength(1);
  });

  it("keeps what it knew when the file is gone", async () => {
    write([WEB]);
    const pods = open(FilePods);
    rmSync(file);
    await vi.waitFor(() => expect(complaints()).toEqual([`${file} is not there`]), SOON);
    expect(pods.list()).toHaveLength(1);
  });
});

describe("FileNode", () => {
  it("has no labels and no limit of pods until the file says so", async () => {
    const node = open(FileNode);
    expect([node.labels().size, node.maxPods()]).toEqual([0, undefined]);
    let changes = 0;
    node.subscribe(() => {
      changes += 1;
    });
    write({ labels: { pool: "gpu" }, maxPods: 58 });
    await vi.waitFor(() => expect(node.maxPods()).toBe(58), SOON);
    expect(node.labels()).toEqual(new Map([["pool", "gpu"]]));
    write({});
    await vi.waitFor(() => expect(node.maxPods()).toBeUndefined(), SOON);
    expect([node.labels().size, changes]).toEqual([0, 2]);
  });

  it.each([{ maxPods: 0 }, { maxPods: "58" }, { labels: { pool: 1 } }, []])(
    "refuses %j and keeps what it knew",
    async (content) => {
      write({ labels: { pool: "gpu" }, maxPods: 58 });
      const node = open(FileNode);
      write(content);
      await vi.waitFor(() => expect(complaints()).toHaveLength(1), SOON);
      expect([node.labels().get("pool"), node.maxPods()]).toEqual(["gpu", 58]);
    },
  );
});
