import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type AnswerFrame,
  answerReader,
  decodeRequest,
  encodeAnswer,
  encodeRequest,
  FRAME_LIMITS,
  FrameError,
  type FrameReader,
  type RequestFrame,
  requestReader,
} from "./frame.ts";

const anyName = fc.stringMatching(/^[A-Z_]{1,12}$/);
const anyValue = fc.string({ unit: "grapheme", maxLength: 40 }).filter((text) => !text.includes("\0"));
const anyBytes = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));
const anyRequest: fc.Arbitrary<RequestFrame> = fc.record({
  variables: fc.array(fc.tuple(anyName, anyValue), { maxLength: 6 }).map((pairs) => new Map(pairs)),
  stdin: anyBytes,
});
const anyAnswer: fc.Arbitrary<AnswerFrame> = fc.record({ exitCode: fc.nat(255), stdout: anyBytes });

/** Gives the bytes in pieces of the sizes, then the rest; all but the last push must give nothing. */
function pushInPieces<Frame>(
  reader: FrameReader<Frame>,
  bytes: Buffer,
  sizes: readonly number[],
): Frame | undefined {
  let at = 0;
  for (const size of sizes) {
    if (at + size >= bytes.length) break;
    expect(reader.push(bytes.subarray(at, at + size))).toBeUndefined();
    at += size;
  }
  return reader.push(bytes.subarray(at));
}

describe("frames", () => {
  it("requests come back as they were sent, in whatever pieces", () => {
    fc.assert(
      fc.property(anyRequest, fc.array(fc.integer({ min: 0, max: 40 })), (request, sizes) => {
        expect(pushInPieces(requestReader(), encodeRequest(request), sizes)).toEqual(request);
      }),
    );
  });

  it("answers come back as they were sent, in whatever pieces", () => {
    fc.assert(
      fc.property(anyAnswer, fc.array(fc.integer({ min: 0, max: 40 })), (answer, sizes) => {
        expect(pushInPieces(answerReader(), encodeAnswer(answer), sizes)).toEqual(answer);
      }),
    );
  });

  it("arbitrary bytes give a frame, nothing yet, or a FrameError, and never anything else", () => {
    const almostRequest = fc
      .tuple(anyRequest, fc.nat(), fc.nat(255))
      .map(([request, at, byte]) => withByte(encodeRequest(request), at, byte));
    fc.assert(
      fc.property(fc.oneof(anyBytes, almostRequest), (bytes) => {
        for (const reader of [requestReader(), answerReader()])
          expectFrameErrorAtMost(() => reader.push(bytes));
      }),
      { numRuns: 2000 },
    );
  });

  it("of two variables with one name the first counts, as with getenv()", () => {
    const once = encodeRequest({ variables: new Map([["A", "1"]]), stdin: Buffer.alloc(0) });
    const twice = Buffer.concat([once, Buffer.from("A=2\0")]);
    twice.writeUInt32BE(8, 4);
    expect(decodeRequest(twice).variables).toEqual(new Map([["A", "1"]]));
  });

  it.each([
    ["another version, from its first byte on", "frame-version", Buffer.from([2])],
    ["stdin past the limit", "frame-too-large", header(0, FRAME_LIMITS.stdin + 1)],
    ["variables past the limit", "frame-too-large", header(FRAME_LIMITS.variables + 1, 0)],
    ["a variable without =", "frame-malformed", Buffer.concat([header(2, 0), Buffer.from("A\0")])],
    ["a variable without a name", "frame-malformed", Buffer.concat([header(3, 0), Buffer.from("=A\0")])],
    ["variables without the last NUL", "frame-malformed", Buffer.concat([header(3, 0), Buffer.from("A=B")])],
    ["bytes after the end", "frame-malformed", Buffer.concat([header(0, 0), Buffer.from("x")])],
    ["a frame cut short", "frame-malformed", header(0, 5)],
  ])("decodeRequest() refuses %s as %s", (_what, code, bytes) => {
    expect(() => decodeRequest(bytes)).toThrow(expect.objectContaining({ code, name: "FrameError" }));
  });

  it("the largest stdin fits and one byte more is refused by both ends", () => {
    const request = { variables: new Map(), stdin: Buffer.alloc(FRAME_LIMITS.stdin, "x") };
    expect(decodeRequest(encodeRequest(request)).stdin.length).toBe(FRAME_LIMITS.stdin);
    const larger = { ...request, stdin: Buffer.alloc(FRAME_LIMITS.stdin + 1) };
    expect(() => encodeRequest(larger)).toThrow(String(FRAME_LIMITS.stdin));
  });
});

function header(variables: number, stdin: number): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt8(1, 0);
  bytes.writeUInt32BE(variables, 4);
  bytes.writeUInt32BE(stdin, 8);
  return bytes;
}

function withByte(bytes: Buffer, at: number, byte: number): Buffer {
  bytes[at % bytes.length] = byte;
  return bytes;
}

function expectFrameErrorAtMost(work: () => unknown): void {
  try {
    work();
  } catch (error) {
    expect(error).toBeInstanceOf(FrameError);
  }
}
