import { describe, expect, it } from "vitest";
import { Attributes, listItems } from "./netlink-codec.ts";
import { NLM_F_ACK, NLM_F_REQUEST, parseMessages } from "./netlink-message.ts";
import { borrowWriter, MessageWriter, returnWriter } from "./netlink-writer.ts";

/** The one message that was written. */
function written(out: MessageWriter) {
  const [message] = parseMessages(out.slice(0, out.length));
  if (message === undefined) throw new Error("nothing was written");
  return message;
}

describe("MessageWriter", () => {
  it("writes headers and attributes that are read back as they were", () => {
    const out = new MessageWriter();
    out.begin(16, 0x400, 7);
    out.four(1, 2, 3, 4);
    out.word(0xfffffffe);
    out.halves(5, 6);
    out.u8(1, 200);
    out.u32(2, 0xffffffff);
    out.u32be(3, -4);
    out.text(4, "cwä");
    out.text(5, "");
    out.value(6, Buffer.of(1, 2, 3, 4, 5, 6));
    out.finish();
    const { type, flags, sequence, port, data } = written(out);
    expect({ type, flags, sequence, port }).toEqual({
      type: 16,
      flags: 0x400 | NLM_F_REQUEST,
      sequence: 7,
      port: 0,
    });
    expect([...data.subarray(0, 4)]).toEqual([1, 2, 3, 4]);
    const attributes = new Attributes(data, 12);
    expect(attributes.get(1)).toEqual(Buffer.of(200));
    expect(attributes.u32(2)).toBe(0xffffffff);
    expect(attributes.get(3)).toEqual(Buffer.of(255, 255, 255, 252));
    expect(attributes.text(4)).toBe("cwä");
    expect(attributes.get(4)).toEqual(Buffer.from("cwä\0"));
    expect(attributes.text(5)).toBeUndefined();
    expect(attributes.get(6)).toEqual(Buffer.of(1, 2, 3, 4, 5, 6));
    expect([attributes.has(7), attributes.u32(7), attributes.text(7)]).toEqual([false, undefined, undefined]);
  });

  it("writes attributes within attributes", () => {
    const out = new MessageWriter();
    out.begin(1, 0, 1);
    const list = out.open(9);
    for (const name of ["a", "bcdef"]) {
      const item = out.open(1);
      out.text(2, name);
      out.close(item);
    }
    out.close(list);
    out.u8(3, 1);
    out.finish();
    const attributes = new Attributes(written(out).data);
    expect(listItems(attributes.get(9) ?? Buffer.of()).map((item) => item.text(2))).toEqual(["a", "bcdef"]);
    expect(attributes.has(3)).toBe(true);
  });

  it("leaves nothing of what was written before between the values", () => {
    const out = borrowWriter();
    out.begin(1, 0, 1);
    out.value(1, Buffer.alloc(64, 0xff));
    out.finish();
    returnWriter(out);
    const again = borrowWriter();
    expect(again).toBe(out);
    again.begin(1, 0, 1);
    again.u8(1, 1);
    again.text(2, "abc");
    again.value(3, Buffer.of(1));
    again.finish();
    expect(written(again).data.toString("hex")).toBe("05000100010000000800020061626300" + "0500030001000000");
  });

  it("grows, keeps what it has, and can mark a message that has been finished", () => {
    const out = new MessageWriter();
    const starts = Array.from({ length: 3 }, (_, index) => {
      out.begin(index, 0, index);
      out.value(1, Buffer.alloc(20_000, index));
      return out.finish();
    });
    out.addFlags(starts[1] ?? -1, NLM_F_ACK);
    const messages = parseMessages(out.slice(0, out.length));
    expect(messages.map(({ flags }) => flags)).toEqual([1, 1 | NLM_F_ACK, 1]);
    expect(messages.map(({ data }) => data.at(-1))).toEqual([0, 1, 2]);
  });

  it("refuses an attribute that is longer than its length can say", () => {
    const out = new MessageWriter();
    out.begin(1, 0, 1);
    const nest = out.open(1);
    for (let part = 0; part < 4; part += 1) out.value(2, Buffer.alloc(20_000));
    expect(() => out.close(nest)).toThrow(RangeError);
  });
});

describe("parseMessages() and Attributes", () => {
  it("refuse bytes that are cut short", () => {
    expect(() => parseMessages(Buffer.alloc(20, 1))).toThrow(RangeError);
    expect(() => parseMessages(Buffer.alloc(8))).toThrow(RangeError);
    expect(() => new Attributes(Buffer.of(9, 0, 1, 0, 0))).toThrow(RangeError);
    expect(() => new Attributes(Buffer.of(0, 0, 0, 0))).toThrow(RangeError);
  });
});
