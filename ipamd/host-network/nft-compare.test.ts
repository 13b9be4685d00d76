import { expect, test } from "vitest";
import { tableForm } from "./nft-compare.ts";

function setOf(elem: readonly unknown[]): string | undefined {
  return tableForm({ nftables: [{ set: { name: "s", handle: 3, elem } }] }).elements.get("s");
}

test.each([
  {
    name: "a prefix and its halves",
    one: [{ prefix: { addr: "10.0.0.0", len: 23 } }],
    other: [{ prefix: { addr: "10.0.1.0", len: 24 } }, { prefix: { addr: "10.0.0.0", len: 24 } }],
  },
  {
    name: "a range and its addresses",
    one: [{ range: ["10.0.0.1", "10.0.0.2"] }],
    other: ["10.0.0.2", "10.0.0.1"],
  },
  {
    name: "pairs in any order",
    one: [{ concat: ["a", "10.0.0.1"] }, { concat: ["b", "10.0.0.2"] }],
    other: [{ concat: ["b", "10.0.0.2"] }, { concat: ["a", "10.0.0.1"] }],
  },
])("tableForm() takes $name for equal", ({ one, other }) => {
  expect(setOf(one)).toBe(setOf(other));
});

test.each([
  {
    name: "neighbours with different verdicts",
    one: [
      ["10.0.0.0", { goto: 1 }],
      ["10.0.0.1", { goto: 2 }],
    ],
  },
  {
    name: "one address more",
    one: [
      ["10.0.0.0", { goto: 1 }],
      ["10.0.0.1", { goto: 1 }],
      ["10.0.0.2", { goto: 1 }],
    ],
  },
])("tableForm() tells $name apart", ({ one }) => {
  expect(setOf(one)).not.toBe(
    setOf([{ range: ["10.0.0.0", "10.0.0.1"] }].map((range) => [range, { goto: 1 }])),
  );
});

test("tableForm() does not look at handles and counts, but at every rule", () => {
  const form = (handle: number, expr: string) =>
    tableForm({
      nftables: [
        { metainfo: { version: "x" } },
        { rule: { handle, expr } },
        { counter: { packets: handle } },
      ],
    }).structure;
  expect(form(1, "drop")).toBe(form(2, "drop"));
  expect(form(1, "drop")).not.toBe(form(1, "accept"));
});
