import { describe, expect, it } from "vitest";
import { ConfigReader } from "./netconf.ts";

const bytesOf = (config: object) => Buffer.from(JSON.stringify(config));
const causeway = { cniVersion: "1.0.0", name: "causeway", type: "causeway" };
const asSaid = (version: string) => version;

describe("ConfigReader.read()", () => {
  it("reads the same bytes once", () => {
    const reader = new ConfigReader();
    const first = reader.read(bytesOf(causeway), asSaid);
    expect(first).toEqual({ version: "1.0.0", config: causeway });
    expect(reader.read(bytesOf(causeway), asSaid).config).toBe(first.config);
  });

  it("reads other bytes, also in the same memory", () => {
    const reader = new ConfigReader();
    const bytes = bytesOf(causeway);
    reader.read(bytes, asSaid);
    bytes.write("1.1.0", bytes.indexOf("1.0.0"));
    expect(reader.read(bytes, asSaid).version).toBe("1.1.0");
  });

  it("asks about the version each time, and before it says what else is wrong", () => {
    const reader = new ConfigReader();
    const refuse = () => {
      throw new Error("refused");
    };
    reader.read(bytesOf(causeway), asSaid);
    expect(() => reader.read(bytesOf(causeway), refuse)).toThrow("refused");
    expect(() => reader.read(bytesOf({ cniVersion: "1.0.0" }), refuse)).toThrow("refused");
  });

  it("remembers nothing that is wrong", () => {
    const reader = new ConfigReader();
    for (let attempt = 0; attempt < 2; attempt += 1) {
      expect(() => reader.read(bytesOf({ ...causeway, name: "" }), asSaid)).toThrow("name is wrong");
      expect(() => reader.read(Buffer.from("{"), asSaid)).toThrow("is not JSON");
    }
  });
});
