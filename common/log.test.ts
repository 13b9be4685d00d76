import { describe, expect, it } from "vitest";
import { CodedError } from "./errors.ts";
import { buildLogger, memoryLogger } from "./log.ts";

describe("buildLogger()", () => {
  it("writes JSON lines with a named level and an error's code and cause", () => {
    const { log, lines } = memoryLogger();
    const err = new CodedError("throttled", "too fast", { cause: new Error("slow down") });
    log.warn({ err, interfaceId: "eni-1" }, "call failed");
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({ level: "warn", msg: "call failed", interfaceId: "eni-1" });
    expect(lines[0]?.err).toMatchObject({ code: "throttled", cause: { message: "slow down" } });
  });

  it("leaves out what is below its level", () => {
    const written: string[] = [];
    const log = buildLogger({ level: "warn", stream: { write: (line) => void written.push(line) } });
    log.info("quiet");
    log.error("loud");
    expect(written.map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual(["loud"]);
  });
});
