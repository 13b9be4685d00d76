import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { systemClock } from "../common/clock.ts";
import { memoryLogger } from "../common/log.ts";
import { MemoryNode } from "./kube/node-memory.ts";
import { FileSettings, SETTINGS_BYTES_MAX } from "./settings-file.ts";
import { FileLastGood } from "./settings-last-good.ts";
import { FileSettingsReport } from "./settings-report.ts";
import type { SettingsStatus } from "./settings-source.ts";

const IN_FORCE = { timeout: 2_000, interval: 10 };

let folder: string;
let file: string;
let node: MemoryNode;
let logged: ReturnType<typeof memoryLogger>;
let opened: FileSettings[];

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "settings-"));
  file = path.join(folder, "settings.json");
  node = new MemoryNode();
  logged = memoryLogger();
  opened = [];
});
afterEach(() => {
  for (const settings of opened) settings[Symbol.dispose]();
  rmSync(folder, { recursive: true, force: true });
});

const write = (content: object | string, to = file) =>
  writeFileSync(to, typeof content === "string" ? content : JSON.stringify(content));

function open(): FileSettings {
  const { log } = logged;
  const lastGood = new FileLastGood(path.join(folder, "run", "last-good.json"), log);
  const settings = FileSettings.open({ path: file, node, lastGood, clock: systemClock, log });
  opened.push(settings);
  return settings;
}

const sentences = ({ status }: FileSettings) => status.problems.map(({ sentence }) => sentence);
const cooldown = (settings: FileSettings) => settings.current.cooldownMs / 1000;
const eventually = (check: () => void) => vi.waitFor(check, IN_FORCE);

/** Another change after it, which is seen, shows that the one before made none. */
async function inForce(settings: FileSettings, seconds: number): Promise<void> {
  await eventually(() => expect(cooldown(settings)).toBe(seconds));
}

describe("FileSettings", () => {
  it("takes what is written in place, renamed over it or published as a ConfigMap within 2 s, and tells who listens", async () => {
    write({ "ip-cooldown-period": "1" });
    const settings = open();
    const told: number[] = [];
    settings.subscribe(({ cooldownMs }) => told.push(cooldownMs / 1000));
    expect(cooldown(settings)).toBe(1);
    write({ "ip-cooldown-period": "2" });
    await inForce(settings, 2);
    write({ data: { "ip-cooldown-period": "3" } }, `${file}.new`);
    renameSync(`${file}.new`, file);
    await inForce(settings, 3);
    for (const seconds of [4, 5]) {
      const version = path.join(folder, `..v${seconds}`);
      mkdirSync(version);
      write({ "ip-cooldown-period": seconds }, path.join(version, "settings.json"));
      symlinkSync(version, path.join(folder, "..tmp"));
      renameSync(path.join(folder, "..tmp"), path.join(folder, "..data"));
      if (seconds === 4) {
        symlinkSync("..data/settings.json", `${file}.link`);
        renameSync(`${file}.link`, file);
      }
      await inForce(settings, seconds);
    }
    expect(told).toEqual([2, 3, 4, 5]);
    expect(
      logged.lines.filter(({ msg }) => msg === "settings changed").map(({ changed }) => changed),
    ).toContainEqual({
      "ip-cooldown-period": { from: "1", to: "2" },
    });
  });

  it.each<[what: string, act: () => void, words: string]>([
    [
      "a value out of range",
      () => write({ "ip-cooldown-period": "9999", "max-eni": "1" }),
      'ip-cooldown-period="9999": accepted: a whole number of seconds from 0 to 3600',
    ],
    [
      "a value of the wrong type",
      () => write({ "ip-cooldown-period": [], "max-eni": "1" }),
      "ip-cooldown-period=[]: this is a list; accepted: a whole number",
    ],
    [
      "an unknown key",
      () => write({ "ip-cooldown-perod": "1", "max-eni": "1" }),
      "unknown setting ip-cooldown-perod; did you mean ip-cooldown-period?",
    ],
    [
      "a selector that cannot be read",
      () => write({ "max-eni": "1", "override.a": "selector: (" }),
      'override.a: selector="("',
    ],
    ["garbage", () => write("\u0000\u0001{{"), "not JSON"],
    ["half of it", () => write('{"ip-cooldown-period": "'), "not JSON"],
    ["no byte", () => write(""), "the file is empty"],
    [
      "a huge file",
      () => write(`${JSON.stringify({ "max-eni": "1" })}${" ".repeat(SETTINGS_BYTES_MAX)}`),
      "has more than 1048576 bytes",
    ],
    ["no file any more", () => rmSync(file), "is not there"],
    [
      "a folder in its place",
      () => {
        rmSync(file);
        mkdirSync(file);
      },
      "is not a file",
    ],
  ])(
    "refuses %s whole, keeps the last good ones, says why, and takes the next good one",
    async (_, act, words) => {
      write({ "ip-cooldown-period": "7" });
      const settings = open();
      const told: unknown[] = [];
      settings.subscribe((next) => told.push(next));
      act();
      await eventually(() => expect(sentences(settings)[0]).toContain(words));
      expect(sentences(settings)).toEqual([
        expect.stringMatching(/^settings of .*the last good settings stay in force\)$/),
      ]);
      expect(settings.status.problems[0]?.code).toBe("settings-invalid");
      expect(settings.current).toMatchObject({ cooldownMs: 7_000, pool: { maxEni: undefined } });
      expect(told).toEqual([]);
      rmSync(file, { recursive: true, force: true });
      write({ "ip-cooldown-period": "8" });
      await inForce(settings, 8);
      expect(sentences(settings)).toEqual([]);
    },
  );

  it("starts with what an earlier daemon could use when the file cannot be, and tells of the file", async () => {
    write({ "ip-cooldown-period": "7", "external-snat": "true" });
    open()[Symbol.dispose]();
    write({ "ip-cooldown-period": "x" });
    const settings = open();
    expect(settings.current).toMatchObject({ cooldownMs: 7_000, externalSnat: true });
    expect(sentences(settings)[0]).toContain('ip-cooldown-period="x"');
    write({ "ip-cooldown-period": "8" });
    await inForce(settings, 8);
    expect(settings.current.externalSnat).toBe(false);
  });

  it("does not start with a file that cannot be used and no earlier settings, and names everything wrong", () => {
    write({ "ip-cooldown-period": "x", "warm-ip-targt": "1" });
    expect(() => open()).toThrow(
      /^settings of .*ip-cooldown-period="x": accepted: .*; unknown setting warm-ip-targt/,
    );
  });

  it("starts with the defaults where there is no file, says so, and takes it when it comes", async () => {
    const settings = open();
    expect(cooldown(settings)).toBe(30);
    expect(sentences(settings)).toEqual([
      `settings of ${file}: ${file} is not there (the defaults are in force)`,
    ]);
    write({ "ip-cooldown-period": "8" });
    await inForce(settings, 8);
    expect(sentences(settings)).toEqual([]);
  });

  it("lays overrides over the rest for this node's labels, and follows when the labels change", async () => {
    write({ "warm-ip-target": 1, "override.gpu": "selector: pool=gpu\nwarm-ip-target: 20" });
    const settings = open();
    expect(settings.current.pool.warmIpTarget).toBe(1);
    node.set({ labels: { pool: "gpu" } });
    expect(settings.current.pool.warmIpTarget).toBe(20);
    expect(settings.status).toMatchObject({ overrides: ["gpu"], values: { "warm-ip-target": "20" } });
    write({ "warm-ip-target": 1, "override.gpu": "selector: pool=gpu\nwarm-ip-target: 30" });
    await eventually(() => expect(settings.current.pool.warmIpTarget).toBe(30));
    write("{");
    await eventually(() => expect(settings.status.problems).toHaveLength(1));
    node.set({});
    expect(settings.current.pool.warmIpTarget).toBe(1);
    expect(settings.status.problems).toHaveLength(1);
  });

  it("refuses what only two overrides together make wrong where both apply, and nowhere else", async () => {
    const both = {
      "override.a": "selector: a\naddress-unit: single",
      "override.b": "selector: b\nenable-prefix-delegation: true",
    };
    write(both);
    const settings = open();
    node.set({ labels: { b: "" } });
    expect(settings.current.pool.unit).toBe("block");
    node.set({ labels: { a: "", b: "" } });
    expect(settings.current.pool.unit).toBe("block");
    expect(sentences(settings)[0]).toContain("contradicts");
    node.set({ labels: { a: "" } });
    expect(settings.current.pool.unit).toBe("single");
    expect(sentences(settings)).toEqual([]);
  });

  it("keeps what is read at start only, says that a change waits, and takes all others of the document", async () => {
    write({ "ip-families": "ipv4", "ip-cooldown-period": "1" });
    const settings = open();
    write({ "ip-families": "ipv4,ipv6", "ip-cooldown-period": "2" });
    await inForce(settings, 2);
    expect(settings.current.families).toEqual([4]);
    expect(settings.status.problems).toEqual([
      {
        code: "settings-next-start",
        sentence:
          'ip-families="ipv4,ipv6" takes effect at the next start of the daemon; until then "ipv4" stays in force',
      },
    ]);
    // the default, in words
    write({ "ip-cooldown-period": "3" });
    await inForce(settings, 3);
    expect(settings.status.problems).toEqual([]);
    write({ "ip-families": "ipv4,ipv6", "ip-cooldown-period": "4" });
    await inForce(settings, 4);
    settings[Symbol.dispose]();
    expect(open().current.families).toEqual([4, 6]);
  });

  it("writes what is in force and what is not into a file", async () => {
    write({ "ip-cooldown-period": "7" });
    const status = path.join(folder, "run", "status.json");
    const read = () => JSON.parse(readFileSync(status, "utf8")) as SettingsStatus;
    const settings = open();
    settings.reportTo(new FileSettingsReport(status, logged.log));
    expect(read()).toMatchObject({
      values: { "ip-cooldown-period": "7", "external-snat": "false" },
      problems: [],
    });
    write({ "ip-cooldown-period": "x" });
    await eventually(() => expect(read().problems).toHaveLength(1));
    expect(read().values["ip-cooldown-period"]).toBe("7");
  });

  it("tells nobody when the file changes and means the same", async () => {
    write({ "exclude-snat-cidrs": "10.0.0.0/8" });
    const settings = open();
    const told: string[] = [];
    settings.subscribe(({ excludeSnatCidrs }) => told.push(String(excludeSnatCidrs)));
    write({ "exclude-snat-cidrs": "10.0.0.0/8,10.1.0.0/16" });
    await eventually(() => expect(settings.status.values["exclude-snat-cidrs"]).toContain(","));
    write({ "exclude-snat-cidrs": "10.0.0.0/9" });
    await eventually(() => expect(told).toEqual(["10.0.0.0/9"]));
  });
});
