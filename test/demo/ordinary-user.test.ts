import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect, it } from "vitest";

/** Runs the demo as `npm start` does, by a process that is not root and may not become it. */
function startAsUser(options: readonly string[], environment: NodeJS.ProcessEnv = {}) {
  const { CAUSEWAY_IN_NAMESPACES: _, ...inherited } = process.env;
  const asUser = ["unshare", "--user", "--map-user=1000", "--map-group=1000"];
  const command = ["sh", "test/in-namespaces.sh", "--user-allowed", "node", "test/demo/main.ts", ...options];
  const [program = "", ...rest] = [...asUser, ...command];
  return spawnSync(program, rest, {
    encoding: "utf8",
    env: { ...inherited, ...environment },
    timeout: 90_000,
  });
}

it("npm start works for an ordinary user, who is root in a user namespace of its own", () => {
  const { status, stdout, stderr } = startAsUser(["--json"]);
  expect(status, stdout + stderr).toBe(0);
  const report = JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as object;
  expect(report).toMatchObject({ cloud: "aws", nodes: 2, failed: 0 });
}, 100_000);

it("npm start says in one line why an ordinary user cannot have it on this machine", () => {
  const folder = mkdtempSync(path.join(tmpdir(), "causeway-unshare-"));
  try {
    const refusing = path.join(folder, "unshare");
    writeFileSync(
      refusing,
      "#!/bin/sh\necho 'unshare: unshare failed: Operation not permitted' >&2\nexit 1\n",
    );
    chmodSync(refusing, 0o755);
    const real = spawnSync("sh", ["-c", "command -v unshare"], { encoding: "utf8" }).stdout.trim();
    const script = `PATH=${folder}:$PATH exec sh test/in-namespaces.sh --user-allowed true`;
    const { CAUSEWAY_IN_NAMESPACES: _, ...env } = process.env;
    const asUser = ["--user", "--map-user=1000", "--map-group=1000", "sh", "-c", script];
    const { status, stderr } = spawnSync(real, asUser, { encoding: "utf8", env });
    expect(status).toBe(1);
    expect(stderr.trim().split("\n")).toEqual([
      expect.stringMatching(
        /no namespaces of their own \(unshare: .*Operation not permitted\); run it as root/,
      ),
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
