import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, copyFileSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "../../test/shim/daemon.ts";

const LOCK = "{}\n";

/** A checkout with nothing to build, whose node_modules is a link to a folder with that stamp. */
function checkoutWithLink(folder: string, stamp: string) {
  const checkout = path.join(folder, "checkout");
  const modules = path.join(folder, "modules");
  const programs = path.join(folder, "programs");
  for (const made of [path.join(checkout, "deploy/dev"), modules, programs])
    mkdirSync(made, { recursive: true });
  const script = path.join(checkout, "deploy/dev/setup.sh");
  copyFileSync("deploy/dev/setup.sh", script);
  writeFileSync(path.join(checkout, "package-lock.json"), LOCK);
  writeFileSync(path.join(modules, ".causeway-lock"), stamp);
  symlinkSync(modules, path.join(checkout, "node_modules"));
  const npm = path.join(programs, "npm");
  writeFileSync(npm, `#!/bin/sh\ntouch "$0.ran"\nexit 7\n`);
  chmodSync(npm, 0o755);
  return {
    run: () => {
      const env = { ...process.env, PATH: `${programs}:${process.env.PATH}` };
      return spawnSync("sh", [script], { encoding: "utf8", env });
    },
    hasNpmRun: () => existsSync(`${npm}.ran`),
  };
}

describe("setup.sh, where node_modules is a symbolic link,", () => {
  it("refuses in one line to install through it", () => {
    using folder = temporaryFolder();
    const checkout = checkoutWithLink(folder.path, "another lock file");
    const { status, stdout, stderr } = checkout.run();
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
    expect(stderr).toMatch(/^setup: node_modules is a symbolic link .*\n$/);
    expect(checkout.hasNpmRun()).toBe(false);
  });

  it("goes on when what is there is of the same lock file", () => {
    using folder = temporaryFolder();
    const checkout = checkoutWithLink(folder.path, createHash("sha256").update(LOCK).digest("hex"));
    expect(checkout.run()).toMatchObject({ status: 0, stdout: "", stderr: "" });
    expect(checkout.hasNpmRun()).toBe(false);
  });
});
