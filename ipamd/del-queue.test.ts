import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { DetachRequest, Verbs } from "../cni/command.ts";
import { encodeRequest, FRAME_LIMITS } from "../cni/frame.ts";
import { systemClock } from "../common/clock.ts";
import { CodedError } from "../common/errors.ts";
import type { Attachment, ContainerId } from "../common/ids.ts";
import { memoryLog, simpleVerbs, socketIn, temporaryFolder } from "../test/shim/daemon.ts";
import { buildShim, config, runShim, VALID_VARIABLES } from "../test/shim/shim.ts";
import { until } from "../test/shim/waiting.ts";
import { DelQueue } from "./del-queue.ts";

function frame(changes: Readonly<Record<string, string>> = {}, stdin = config()): Buffer {
  const variables = new Map(Object.entries({ CNI_COMMAND: "DEL", ...VALID_VARIABLES, ...changes }));
  return encodeRequest({ variables, stdin: Buffer.from(stdin) });
}

/** A DEL verb that keeps who it was called for, and does what `answer` says. */
function recordingVerbs(
  answer: (request: DetachRequest, signal: AbortSignal) => Promise<void> = async () => undefined,
) {
  const deleted: string[] = [];
  const verbs: Verbs = {
    ...simpleVerbs,
    DEL: async (request, signal) => {
      deleted.push(request.attachment.containerId);
      await answer(request, signal);
    },
  };
  return { deleted, verbs };
}

type Running = { readonly queue: DelQueue; readonly lines: Record<string, unknown>[] } & AsyncDisposable;

async function startQueue(folder: string, verbs: Verbs, intervalMs?: number): Promise<Running> {
  const { log, lines } = memoryLog();
  const queue = new DelQueue({ folder, verbs, clock: systemClock, log, ...(intervalMs && { intervalMs }) });
  await queue.start();
  return { queue, lines, [Symbol.asyncDispose]: () => queue.stop() };
}

/** As the shim does: written beside, then renamed. */
function enqueue(folder: string, slot: string, bytes: Buffer | string): void {
  writeFileSync(join(folder, ".1.tmp"), bytes);
  renameSync(join(folder, ".1.tmp"), join(folder, slot));
}

describe("DelQueue", () => {
  it("has drained what was there when start() resolves, and makes its folder when there is none", async () => {
    using folder = temporaryFolder();
    const { deleted, verbs } = recordingVerbs();
    await using _first = await startQueue(join(folder.path, "new"), verbs);
    expect(existsSync(join(folder.path, "new"))).toBe(true);
    for (const id of ["aa01", "aa02"])
      enqueue(folder.path, id === "aa01" ? "007" : "255", frame({ CNI_CONTAINERID: id }));
    await using _second = await startQueue(folder.path, verbs);
    expect(deleted.sort()).toEqual(["aa01", "aa02"]);
    expect(readdirSync(folder.path)).toEqual([]);
  });

  it("drains what comes later at once, and keeps the file until the DEL has succeeded", async () => {
    using folder = temporaryFolder();
    const gate = Promise.withResolvers<void>();
    const { deleted, verbs } = recordingVerbs(() => gate.promise);
    await using _queue = await startQueue(folder.path, verbs, 3_600_000);
    enqueue(folder.path, "000", frame());
    await until("the DEL runs", () => deleted.length === 1);
    expect(readdirSync(folder.path)).toEqual(["000"]);
    gate.resolve();
    await until("the file is gone", () => readdirSync(folder.path).length === 0);
    expect(deleted).toEqual(["aa01"]);
  });

  it("tries a DEL that failed for now again at intervals, and others are not held up by it", async () => {
    using folder = temporaryFolder();
    let failures = 0;
    const { deleted, verbs } = recordingVerbs(async (request) => {
      if (request.attachment.containerId === "aa02") return;
      failures += 1;
      if (failures < 3) throw new CodedError("busy", "not now", { retry: "soon" });
    });
    enqueue(folder.path, "001", frame({ CNI_CONTAINERID: "aa01" }));
    enqueue(folder.path, "002", frame({ CNI_CONTAINERID: "aa02" }));
    await using _queue = await startQueue(folder.path, verbs, 20);
    await until("both are done", () => readdirSync(folder.path).length === 0);
    expect(deleted.filter((id) => id === "aa02")).toHaveLength(1);
    expect(deleted.filter((id) => id === "aa01")).toHaveLength(3);
  });

  it("handles new files while an earlier DEL hangs, and stop() ends that one and leaves its file", async () => {
    using folder = temporaryFolder();
    const { deleted, verbs } = recordingVerbs((request, signal) => {
      if (request.attachment.containerId === "aa02") return Promise.resolve();
      return new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    });
    const { queue } = await startQueue(folder.path, verbs);
    enqueue(folder.path, "001", frame({ CNI_CONTAINERID: "aa01" }));
    await until("the first DEL hangs", () => deleted.length === 1);
    enqueue(folder.path, "002", frame({ CNI_CONTAINERID: "aa02" }));
    await until("the second is done", () => !existsSync(join(folder.path, "002")));
    await queue.stop();
    expect(readdirSync(folder.path)).toEqual(["001"]);
  });

  it.each([
    ["an empty file", "000", Buffer.alloc(0)],
    ["a file cut short", "001", frame().subarray(0, 40)],
    ["a frame of another version", "002", Buffer.from([2, 0, 0])],
    ["text", "003", Buffer.from("DEL aa01")],
    ["a file past the limits", "004", Buffer.alloc(FRAME_LIMITS.stdin + FRAME_LIMITS.variables + 17)],
    ["an ADD", "005", frame({ CNI_COMMAND: "ADD" })],
    ["a container id that is none", "006", frame({ CNI_CONTAINERID: "../x" })],
    ["a configuration that is no JSON", "007", frame({}, "{")],
    ["a name that is no slot", "backup.del", frame()],
    ["a temporary file's name that is none", "x.tmp", frame()],
  ])("removes %s, says so, and drains the rest", async (_what, name, bytes) => {
    using folder = temporaryFolder();
    const { deleted, verbs } = recordingVerbs();
    writeFileSync(join(folder.path, name), bytes);
    mkdirSync(join(folder.path, "111"));
    writeFileSync(join(folder.path, "111", "x"), "");
    enqueue(folder.path, "222", frame({ CNI_CONTAINERID: "aa02" }));
    await using queue = await startQueue(folder.path, verbs);
    await until("the folder is empty", () => readdirSync(folder.path).length === 0);
    expect(deleted).toEqual(["aa02"]);
    const removed = queue.lines.filter((line) => line.msg === "a file of the DEL queue was removed");
    expect(removed.map((line) => line.path).sort()).toEqual(
      [join(folder.path, name), join(folder.path, "111")].sort(),
    );
  });

  it("looks once for a thousand changes at once, and tells nothing of files that shims are writing", async () => {
    using folder = temporaryFolder();
    const { deleted, verbs } = recordingVerbs();
    await using running = await startQueue(folder.path, verbs, 3_600_000);
    for (let change = 0; change < 1_000; change += 1) {
      writeFileSync(join(folder.path, ".1.tmp"), "");
      rmSync(join(folder.path, ".1.tmp"));
    }
    enqueue(folder.path, "000", frame());
    let looks = 0;
    await until("the DEL is done", async () => {
      looks = Math.max(
        looks,
        process.getActiveResourcesInfo().filter((name) => name === "FSReqPromise").length,
      );
      return deleted.length === 1;
    });
    expect(looks).toBeLessThan(10);
    expect(running.lines.map(({ msg }) => msg)).toEqual(["a queued DEL is done"]);
  });

  it("removes a temporary file only when its shim must be dead", async () => {
    using folder = temporaryFolder();
    const { verbs } = recordingVerbs();
    for (const name of [".1.tmp", ".2.tmp"]) writeFileSync(join(folder.path, name), "half");
    const longAgo = Date.now() / 1000 - 61;
    utimesSync(join(folder.path, ".1.tmp"), longAgo, longAgo);
    await using _queue = await startQueue(folder.path, verbs);
    expect(readdirSync(folder.path)).toEqual([".2.tmp"]);
  });

  it("never removes the DEL of another shim that has taken over the slot meanwhile", async () => {
    using folder = temporaryFolder();
    const gate = Promise.withResolvers<void>();
    const { deleted, verbs } = recordingVerbs(() => gate.promise);
    await using queue = await startQueue(folder.path, verbs, 3_600_000);
    enqueue(folder.path, "007", frame({ CNI_CONTAINERID: "aa01" }));
    await until("the first DEL runs", () => deleted.length === 1);
    // its shim has got an answer after all
    rmSync(join(folder.path, "007"));
    enqueue(folder.path, "007", frame({ CNI_CONTAINERID: "aa02" }));
    gate.resolve();
    await until("the folder is empty", () => readdirSync(folder.path).length === 0);
    await until("both are told", () => queue.lines.length === 2);
    expect(deleted).toEqual(["aa01", "aa02"]);
  });

  it("does what a daemon had moved aside when it died", async () => {
    using folder = temporaryFolder();
    const { deleted, verbs } = recordingVerbs();
    writeFileSync(join(folder.path, `.007.${randomUUID()}`), frame());
    await using _queue = await startQueue(folder.path, verbs);
    expect([deleted, readdirSync(folder.path)]).toEqual([["aa01"], []]);
  });

  it("is not held up by a pipe or by a link to nowhere", async () => {
    using folder = temporaryFolder();
    const { deleted, verbs } = recordingVerbs();
    execFileSync("mkfifo", [join(folder.path, "000")]);
    symlinkSync(join(folder.path, "nowhere"), join(folder.path, "001"));
    enqueue(folder.path, "002", frame());
    await using _queue = await startQueue(folder.path, verbs);
    expect([deleted, readdirSync(folder.path)]).toEqual([["aa01"], ["001"]]);
  });

  it("understands what the real shim leaves", async () => {
    using folder = temporaryFolder();
    const variables = { CNI_COMMAND: "DEL", CAUSEWAY_SOCKET: socketIn(folder.path), ...VALID_VARIABLES };
    const left = await runShim(buildShim(), { variables });
    expect(left).toMatchObject({ exitCode: 0, stdout: "" });
    const { deleted, verbs } = recordingVerbs();
    await using _queue = await startQueue(join(folder.path, "run", "del"), verbs);
    expect(deleted).toEqual(["aa01"]);
    expect(readdirSync(join(folder.path, "run", "del"))).toEqual([]);
  });
});

describe("DelQueue.dropOlder()", () => {
  const attachment: Attachment = { containerId: "aa01" as ContainerId, ifname: "eth0" };
  const waiting: readonly [slot: string, variables: Readonly<Record<string, string>>][] = [
    ["000", { CAUSEWAY_STARTED_US: "4999" }],
    ["001", { CAUSEWAY_STARTED_US: "5000" }],
    ["002", { CAUSEWAY_STARTED_US: "9000" }],
    ["003", {}],
    ["004", { CAUSEWAY_STARTED_US: "1", CNI_CONTAINERID: "aa02" }],
    ["005", { CAUSEWAY_STARTED_US: "1", CNI_IFNAME: "eth1" }],
    [".006.00000000-0000-4000-8000-000000000000", { CAUSEWAY_STARTED_US: "1" }],
  ];

  it("removes the attachment's DELs that began earlier, and no others", async () => {
    using folder = temporaryFolder();
    const { verbs } = recordingVerbs(async () => {
      throw new CodedError("busy", "not now", { retry: "soon" });
    });
    for (const [slot, variables] of waiting) writeFileSync(join(folder.path, slot), frame(variables));
    await using running = await startQueue(folder.path, verbs, 3_600_000);
    await running.queue.dropOlder(attachment, 5);
    expect(readdirSync(folder.path).sort()).toEqual(["001", "002", "003", "004", "005"]);
  });

  it("is content without a queue", async () => {
    using folder = temporaryFolder();
    const running = await startQueue(join(folder.path, "del"), simpleVerbs, 3_600_000);
    await running.queue.stop();
    rmSync(join(folder.path, "del"), { recursive: true });
    await expect(running.queue.dropOlder(attachment, 5)).resolves.toBeUndefined();
  });
});
