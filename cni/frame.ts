/**
 * The daemon's end of the frame between shim and daemon; `cni/shim.c` is the other end. Version 1, integers unsigned and big-endian:
 *
 *     request                                      answer
 *     offset width                                 offset width
 *     0      1     frame version                   0      1     frame version
 *     1      3     zero                            1      1     exit code
 *     4      4     E, bytes of variables           2      2     zero
 *     8      4     S, bytes of stdin               4      4     O, bytes of stdout
 *     12     E     NAME=value NUL, repeated        8      O     stdout
 *     12+E   S     stdin
 *
 * The version byte stays first in every version. A version that this end does not know is answered in version 1.
 * A DEL that waits in the queue directory is a request frame too.
 */
import { CodedError } from "../common/errors.ts";

export const FRAME_VERSION = 1;
/** Limits in bytes, the shim's own. A frame that claims more is refused before it is read. */
export const FRAME_LIMITS = {
  variables: 128 * 1024,
  stdin: 1024 * 1024 + 64 * 1024,
  stdout: 1024 * 1024,
} as const;

const REQUEST_HEADER_BYTES = 12;
const ANSWER_HEADER_BYTES = 8;

/** What the runtime gave the plugin: CNI_* variables and TRACEPARENT, and stdin. CAUSEWAY_STARTED_US is the shim's own. */
export type RequestFrame = {
  readonly variables: ReadonlyMap<string, string>;
  readonly stdin: Buffer;
  /** Asks whether the plugin that sent it is gone, which a signal tells only some turns later; absent when nobody can say. */
  readonly isAbandoned?: () => boolean;
};

/** What the plugin gives the runtime. `exitCode` is 0 to 255. */
export type AnswerFrame = { readonly exitCode: number; readonly stdout: Buffer };

/** `frame-version`: the other end is newer or older; `frame-too-large`: past a limit; `frame-malformed`: bytes that are no frame. */
export class FrameError extends CodedError {
  declare readonly code: "frame-version" | "frame-too-large" | "frame-malformed";
}

/** Throws FrameError `frame-too-large`, or `frame-malformed` for a name or value that the frame cannot carry. */
export function encodeRequest(frame: RequestFrame): Buffer {
  const variables = Buffer.concat([...frame.variables].map(encodeVariable));
  checkSize("variables", variables.length);
  checkSize("stdin", frame.stdin.length);
  const header = Buffer.alloc(REQUEST_HEADER_BYTES);
  header.writeUInt8(FRAME_VERSION, 0);
  header.writeUInt32BE(variables.length, 4);
  header.writeUInt32BE(frame.stdin.length, 8);
  return Buffer.concat([header, variables, frame.stdin]);
}

/** Throws FrameError `frame-too-large`. */
export function encodeAnswer(frame: AnswerFrame): Buffer {
  checkSize("stdout", frame.stdout.length);
  const header = Buffer.alloc(ANSWER_HEADER_BYTES);
  header.writeUInt8(FRAME_VERSION, 0);
  header.writeUInt8(frame.exitCode, 1);
  header.writeUInt32BE(frame.stdout.length, 4);
  return Buffer.concat([header, frame.stdout]);
}

/** Collects one frame from the chunks of a stream. A reader that has thrown or given its frame is spent. */
export interface FrameReader<Frame> {
  /** The frame once it is whole, else undefined. Throws FrameError as early as the bytes allow, also for bytes after the frame. */
  push(chunk: Buffer): Frame | undefined;
}

export function requestReader(): FrameReader<RequestFrame> {
  return new ChunkReader(REQUEST_LAYOUT);
}

export function answerReader(): FrameReader<AnswerFrame> {
  return new ChunkReader(ANSWER_LAYOUT);
}

/** One whole request, from a file. Throws FrameError, also when the frame is cut short. */
export function decodeRequest(bytes: Buffer): RequestFrame {
  const frame = requestReader().push(bytes);
  if (frame === undefined)
    throw new FrameError("frame-malformed", `a frame cut short at ${bytes.length} bytes`);
  return frame;
}

type Layout<Frame> = {
  readonly headerBytes: number;
  readonly bodyBytes: (header: Buffer) => number;
  readonly decode: (whole: Buffer) => Frame;
};

const REQUEST_LAYOUT: Layout<RequestFrame> = {
  headerBytes: REQUEST_HEADER_BYTES,
  bodyBytes: (header) =>
    checkSize("variables", header.readUInt32BE(4)) + checkSize("stdin", header.readUInt32BE(8)),
  decode: (whole) => {
    const stdinAt = REQUEST_HEADER_BYTES + whole.readUInt32BE(4);
    return {
      variables: decodeVariables(whole.subarray(REQUEST_HEADER_BYTES, stdinAt)),
      stdin: whole.subarray(stdinAt),
    };
  },
};

const ANSWER_LAYOUT: Layout<AnswerFrame> = {
  headerBytes: ANSWER_HEADER_BYTES,
  bodyBytes: (header) => checkSize("stdout", header.readUInt32BE(4)),
  decode: (whole) => ({ exitCode: whole.readUInt8(1), stdout: whole.subarray(ANSWER_HEADER_BYTES) }),
};

class ChunkReader<Frame> implements FrameReader<Frame> {
  private readonly layout: Layout<Frame>;
  private readonly chunks: Buffer[] = [];
  private length = 0;
  private wanted: number | undefined;

  constructor(layout: Layout<Frame>) {
    this.layout = layout;
  }

  push(chunk: Buffer): Frame | undefined {
    this.chunks.push(chunk);
    this.length += chunk.length;
    this.wanted ??= this.readHeader();
    if (this.wanted === undefined || this.length < this.wanted) return undefined;
    if (this.length > this.wanted) {
      throw new FrameError(
        "frame-malformed",
        `${this.length - this.wanted} bytes after the end of the frame`,
      );
    }
    return this.layout.decode(Buffer.concat(this.chunks));
  }

  /** Bytes of the whole frame, once the header is there. The version is looked at alone: later versions may have another header. */
  private readHeader(): number | undefined {
    const start = Buffer.concat(this.chunks);
    const version = start[0];
    if (version !== undefined && version !== FRAME_VERSION) {
      throw new FrameError("frame-version", `frame version ${version}; this end speaks ${FRAME_VERSION}`);
    }
    if (start.length < this.layout.headerBytes) return undefined;
    return this.layout.headerBytes + this.layout.bodyBytes(start);
  }
}

function checkSize(part: keyof typeof FRAME_LIMITS, bytes: number): number {
  if (bytes <= FRAME_LIMITS[part]) return bytes;
  throw new FrameError(
    "frame-too-large",
    `${part} of ${bytes} bytes; the limit is ${FRAME_LIMITS[part]} bytes`,
  );
}

function encodeVariable([name, value]: readonly [string, string]): Buffer {
  if (name === "" || name.includes("=") || `${name}${value}`.includes("\0")) {
    throw new FrameError("frame-malformed", `not a variable: ${JSON.stringify(name)}`);
  }
  return Buffer.from(`${name}=${value}\0`);
}

function decodeVariables(bytes: Buffer): ReadonlyMap<string, string> {
  const variables = new Map<string, string>();
  if (bytes.length === 0) return variables;
  if (bytes.at(-1) !== 0) throw new FrameError("frame-malformed", "the variables do not end with a NUL");
  for (const variable of bytes.toString("utf8", 0, bytes.length - 1).split("\0")) {
    const equals = variable.indexOf("=");
    if (equals < 1) throw new FrameError("frame-malformed", `not NAME=value: ${JSON.stringify(variable)}`);
    const name = variable.slice(0, equals);
    // as getenv(): the first of two wins
    if (!variables.has(name)) variables.set(name, variable.slice(equals + 1));
  }
  return variables;
}
