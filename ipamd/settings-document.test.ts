import { describe, expect, it } from "vitest";
import { parseDocument, settingsFor } from "./settings-document.ts";

function document(text: string | object) {
  const result = parseDocument(typeof text === "string" ? text : JSON.stringify(text));
  if ("problems" in result) throw new Error(result.problems.join("\n"));
  return result.document;
}

function problems(text: string | object): readonly string[] {
  const result = parseDocument(typeof text === "string" ? text : JSON.stringify(text));
  return "problems" in result ? result.problems : [];
}

const GPU =
  "selector: pool=gpu, zone in (a,b)\n# more pods at once\nwarm-ip-target: 10\n\nexclude-snat-cidrs: '2001:db8::/32'\n";

describe("parseDocument()", () => {
  it("takes flat keys, and numbers and booleans as their text", () => {
    const { settings } = document({ "warm-ip-target": 5, "external-snat": true, "ip-families": "ipv6" });
    expect(settings).toEqual({ "warm-ip-target": "5", "external-snat": "true", "ip-families": "ipv6" });
  });

  it("takes a whole ConfigMap by its data", () => {
    const data = { "warm-ip-target": "5" };
    expect(
      document({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "causeway" }, data }).settings,
    ).toEqual(data);
    expect(document({ data: {} }).settings).toEqual({});
  });

  it("takes an override as lines or as an object", () => {
    const settings = { "warm-ip-target": "10", "exclude-snat-cidrs": "2001:db8::/32" };
    const object = { selector: "pool=gpu, zone in (a,b)", ...settings, "warm-ip-target": 10 };
    const [lines] = document({ data: { "override.gpu": GPU } }).overrides;
    expect(lines).toMatchObject({ name: "gpu", settings });
    expect(document({ "override.gpu": object }).overrides).toEqual([lines]);
  });

  it.each<[what: string, text: string | object, words: string[]]>([
    ["an empty file", "", ["the file is empty"]],
    ["space", " \n", ["the file is empty"]],
    ["half a file", '{"warm-ip-target": "5', ["not JSON: "]],
    ["a list", "[]", ["not a JSON object"]],
    ["a text", '"warm"', ["not a JSON object"]],
    ["nothing", "null", ["not a JSON object"]],
    [
      "a list as a value",
      { "max-eni": [1] },
      ["max-eni=[1]: this is a list; accepted: a whole number of interfaces from 1 to 100"],
    ],
    ["null as a value", { "max-eni": null }, ["max-eni=null: this is null; accepted: a whole number"]],
    [
      "an object as an unknown value",
      { odd: {} },
      ["odd={}: this is an object; accepted: text, a number, true or false"],
    ],
    [
      "a fraction",
      { "max-eni": 1.5 },
      ['max-eni="1.5": accepted: a whole number of interfaces from 1 to 100'],
    ],
    ["a key beside data", { data: {}, "max-eni": "1" }, ['max-eni="1": stands beside `data`, not in it']],
    ["its prototype as a key", '{"__proto__": "1"}', ["unknown setting __proto__"]],
    [
      "several mistakes",
      { "max-eni": "0", "warm-ip-targt": "1" },
      ['max-eni="0": accepted', "unknown setting warm-ip-targt; did you mean warm-ip-target?"],
    ],
    [
      "an override without a selector",
      { "override.a": "max-eni: 1" },
      ['override.a: selector="": the selector is empty; accepted: a label selector'],
    ],
    [
      "a selector that cannot be read",
      { "override.a": { selector: "pool in gpu" } },
      ['override.a: selector="pool in gpu": not a requirement of labels: "pool in gpu"; accepted'],
    ],
    [
      "an override that is a list",
      { "override.a": ["pool=gpu"] },
      ["override.a: accepted: an object, or lines of `key: value`"],
    ],
    ["an override of no lines", { "override.a": "pool=gpu" }, ['override.a: not `key: value`: "pool=gpu"']],
    [
      "a key twice in an override",
      { "override.a": "selector: a\nmax-eni: 1\nmax-eni: 2" },
      ['override.a: max-eni="2": is there twice'],
    ],
    [
      "a bad value in an override",
      { "override.a": "selector: a\nmax-eni: 0" },
      ['override.a: max-eni="0": accepted: a whole number of interfaces'],
    ],
    [
      "an unknown key in an override",
      { "override.a": "selector: a\nmax-enis: 1" },
      ["override.a: unknown setting max-enis; did you mean max-eni?"],
    ],
    [
      "an override that contradicts the settings",
      { "address-unit": "single", "override.a": "selector: a\nenable-prefix-delegation: true" },
      ["override.a: enable-prefix-delegation"],
    ],
    ["an override without a name", { "override.": "selector: a" }, ["override.: an override needs a name"]],
    ["what looks like an override", { override: "x" }, ["unknown setting override"]],
  ])("refuses %s", (_, text, words) => {
    const found = problems(text);
    expect(found).toHaveLength(words.length);
    for (const [index, word] of words.entries()) expect(found[index]?.slice(0, word.length)).toBe(word);
  });

  it("names the first of very many problems, and counts the others", () => {
    const found = problems(Object.fromEntries(Array.from({ length: 500 }, (_, n) => [`odd-${n}`, "1"])));
    expect(found).toHaveLength(21);
    expect(found.at(-1)).toBe("and 480 more problems");
  });

  it("names a mistake of the settings once, not for each override too", () => {
    expect(
      problems({ "max-eni": "0", "override.a": "selector: a", "override.b": "selector: b" }),
    ).toHaveLength(1);
  });
});

describe("settingsFor()", () => {
  const many = document({
    "max-eni": "2",
    "warm-ip-target": "1",
    "override.20-gpu": "selector: pool=gpu\nwarm-ip-target: 20",
    "override.10-big": "selector: size\nwarm-ip-target: 10\nmax-eni: 8",
    "override.30-none": "selector: pool=gpu,zone=b\nwarm-ip-target: ''",
  });

  it.each<[labels: Record<string, string>, raw: object, names: string[]]>([
    [{}, { "max-eni": "2", "warm-ip-target": "1" }, []],
    [{ pool: "gpu" }, { "max-eni": "2", "warm-ip-target": "20" }, ["20-gpu"]],
    [{ pool: "gpu", size: "xl" }, { "max-eni": "8", "warm-ip-target": "20" }, ["10-big", "20-gpu"]],
    [{ pool: "gpu", zone: "b" }, { "max-eni": "2", "warm-ip-target": "" }, ["20-gpu", "30-none"]],
  ])("lays the overrides for %j over the settings, in the order of their names", (labels, raw, names) => {
    expect(settingsFor(many, new Map(Object.entries(labels)))).toMatchObject({ raw, overrides: names });
  });
});
