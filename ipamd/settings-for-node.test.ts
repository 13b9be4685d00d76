import { describe, expect, it } from "vitest";
import { parseDocument } from "./settings-document.ts";
import { DEFAULT_NODE_SETTINGS, settingsForNode } from "./settings-for-node.ts";

const GPU = new Map([["pool", "gpu"]]);

function originsOf(settings: object, started?: Record<string, string>): Readonly<Record<string, string>> {
  const parsed = parseDocument(JSON.stringify(settings));
  if ("problems" in parsed) throw new Error(parsed.problems.join());
  const made = settingsForNode(parsed.document, GPU, started);
  if ("problems" in made) throw new Error(made.problems.join());
  return made.status.origins;
}

describe("settingsForNode() says where each setting comes from", () => {
  it("the default, the file, or the last override that has it", () => {
    const origins = originsOf({
      "max-eni": "3",
      "warm-ip-target": "1",
      "override.10-gpu": "selector: pool=gpu\nwarm-ip-target: 5\nrelease-after: 10",
      "override.20-gpu": "selector: pool=gpu\nwarm-ip-target: 6",
      "override.30-other": "selector: pool=other\nmax-eni: 9",
    });
    expect(origins).toMatchObject({
      "max-eni": "file",
      "warm-ip-target": "override 20-gpu",
      "release-after": "override 10-gpu",
      "spare-addresses": "default",
    });
  });

  it("the default again when an override takes back what the file says", () => {
    const origins = originsOf({
      "spare-addresses": "9",
      "override.gpu": "selector: pool=gpu\nspare-addresses: ''",
    });
    expect(origins["spare-addresses"]).toBe("default");
  });

  it("the start, while what is read at start only waits for the next one", () => {
    const { values } = DEFAULT_NODE_SETTINGS.status;
    expect(originsOf({ "ip-families": "ipv6" }, values)["ip-families"]).toBe("start");
    expect(originsOf({ "ip-families": "ipv4" }, values)["ip-families"]).toBe("file");
  });

  it("has one for each value, and for nothing else", () => {
    const { values, origins } = DEFAULT_NODE_SETTINGS.status;
    expect(Object.keys(origins)).toEqual(Object.keys(values));
  });
});
