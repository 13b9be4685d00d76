import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";

const STARTER = new URL("localstack.ts", import.meta.url).href;

let pids: (number | undefined)[] = [];

afterEach(() => {
  for (const pid of pids) if (pid !== undefined && isAlive(pid)) process.kill(pid, "SIGKILL");
  pids = [];
});

function isAlive(pid: number): boolean {
  try {
    // a zombie has ended: only nobody has asked for its exit code
    return !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

/** Processes that this one started itself. */
function childrenOf(pid: number): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((candidate) => parentOf(candidate) === pid);
}

function parentOf(pid: number): number | undefined {
  try {
    return Number(/^PPid:\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  } catch {
    return undefined;
  }
}

describe("LocalStack", () => {
  it("ends with the run that started it, however that ends", async () => {
    const script = `const { LocalStack } = await import(${JSON.stringify(STARTER)}); await LocalStack.start();`;
    const run = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: "ignore" });
    const pid = Number(run.pid);
    pids.push(pid);
    await expect.poll(() => childrenOf(pid), { timeout: 20_000 }).toHaveLength(1);
    const [child = 0] = childrenOf(pid);
    pids.push(child);
    await expect.poll(() => readFileSync(`/proc/${child}/cmdline`, "utf8")).toContain("start.py");
    run.kill("SIGKILL");
    await expect.poll(() => isAlive(child), { timeout: 10_000 }).toBe(false);
  });
});
