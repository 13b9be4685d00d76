/** Our nftables table: elements over nfnetlink (linux/netfilter/nf_tables.h), whole tables by the nft program. */
import { NFT_TABLE } from "../constants.ts";
import { ignoring } from "./errors.ts";
import { Attributes, listItems } from "./netlink-codec.ts";
import { NLM_F_CREATE, NLMSG_HEADER_BYTES } from "./netlink-message.ts";
import type { NetlinkAnswer, NetlinkRequest, NetlinkSocket } from "./netlink-socket.ts";
import type { MessageWriter } from "./netlink-writer.ts";
import type { Nft, NftChange, NftElement } from "./nft.ts";
import { decodeGenuine, decodeUnits, setNames, writeElement } from "./nft-elements.ts";
import type { NftProgram } from "./nft-program.ts";

const NFNL_SUBSYS_NFTABLES = 10;
const NFPROTO_INET = 1;
const NFGENMSG_BYTES = 4;
const messageType = (number: number) => (NFNL_SUBSYS_NFTABLES << 8) | number;
const NEWSETELEM = messageType(12);
const GETSETELEM = messageType(13);
const DELSETELEM = messageType(14);
const GETOBJ = messageType(19);
const LIST_TABLE = 1;
const LIST_SET = 2;
const LIST_ELEMENTS = 3;
const OBJ_TABLE = 1;
const OBJ_NAME = 2;
const OBJ_TYPE = 3;
const OBJ_DATA = 4;
const NFT_OBJECT_COUNTER = 1;
const COUNTER_PACKETS = 2;
const ATTEMPTS_MAX = 4;

type Step = { readonly op: NftChange["op"]; readonly setName: string; readonly element: NftElement };

/** The table of the namespace that the socket belongs to. */
export class NetlinkNft implements Nft {
  private running: Promise<void> | undefined;
  private readonly socket: NetlinkSocket;
  private readonly program: NftProgram;

  /** @param socket a NETLINK_NETFILTER socket */
  constructor(socket: NetlinkSocket, program: NftProgram) {
    this.socket = socket;
    this.program = program;
  }

  get loading(): Promise<void> | undefined {
    return this.running;
  }

  async load(script: string): Promise<void> {
    const load = this.program.load(script);
    const ended = load
      .catch(() => undefined)
      .then(() => {
        if (this.running === ended) this.running = undefined;
      });
    this.running = ended;
    await load;
  }

  read(): Promise<unknown | undefined> {
    return this.program.read();
  }

  change(changes: readonly NftChange[]): void {
    let steps: readonly Step[] = changes.flatMap(({ op, element }) =>
      setNames(element).map((setName) => ({ op, setName, element })),
    );
    // a batch that is refused changes nothing, so it is sent again without what was there or gone already
    for (let attempt = 1; steps.length > 0; attempt += 1) {
      const refusals = this.socket.batch(NFNL_SUBSYS_NFTABLES, steps.map(requestOf));
      if (refusals.size === 0) return;
      const settled = settle(steps, refusals);
      if (settled === undefined || attempt === ATTEMPTS_MAX) throw [...refusals.values()].at(-1)?.refusal;
      steps = settled;
    }
  }

  list(set: NftElement["set"]): NftElement[] {
    return ([4, 6] as const).flatMap((family): NftElement[] => {
      const elements = this.elementsOf(`${set}${family}`);
      return set === "genuine" ? decodeGenuine(elements) : decodeUnits(elements);
    });
  }

  counters(): ReadonlyMap<string, number> {
    const write = (out: MessageWriter) => {
      writeHeader(out);
      out.text(OBJ_TABLE, NFT_TABLE);
      out.u32be(OBJ_TYPE, NFT_OBJECT_COUNTER);
    };
    const request = { type: GETOBJ, write, doing: () => "read counters" };
    const messages = ignoring(["ENOENT"], () => this.socket.dump(request)) ?? [];
    return new Map(
      messages
        .map(({ data }) => new Attributes(data, NFGENMSG_BYTES))
        .filter((object) => object.text(OBJ_TABLE) === NFT_TABLE)
        .map((object) => [object.text(OBJ_NAME) ?? "", packetsOf(object)]),
    );
  }

  private elementsOf(setName: string): Attributes[] {
    const write = (out: MessageWriter) => writeSetRef(out, setName);
    const request = { type: GETSETELEM, write, doing: () => `list elements of ${setName}` };
    const messages = ignoring(["ENOENT"], () => this.socket.dump(request)) ?? [];
    return messages.flatMap(({ data }) => {
      const list = new Attributes(data, NFGENMSG_BYTES).get(LIST_ELEMENTS);
      return list === undefined ? [] : listItems(list);
    });
  }
}

/** struct nfgenmsg: family u8, version u8, resource id u16. */
function writeHeader(out: MessageWriter): void {
  out.four(NFPROTO_INET, 0, 0, 0);
}

function writeSetRef(out: MessageWriter, setName: string): void {
  writeHeader(out);
  out.text(LIST_TABLE, NFT_TABLE);
  out.text(LIST_SET, setName);
}

function requestOf({ op, setName, element }: Step): NetlinkRequest {
  const write = (out: MessageWriter) => {
    writeSetRef(out, setName);
    const list = out.open(LIST_ELEMENTS);
    writeElement(out, element, op === "add" && setName.startsWith("uplink"));
    out.close(list);
  };
  const doing = () => `${op} ${describe(element)} in set ${setName}`;
  return op === "add"
    ? { type: NEWSETELEM, flags: NLM_F_CREATE, write, doing }
    : { type: DELSETELEM, write, doing };
}

/** The steps that are left to do after what the kernel refused, or undefined when a refusal is a real one. */
function settle(steps: readonly Step[], refusals: ReadonlyMap<number, NetlinkAnswer>): Step[] | undefined {
  const settled: Step[] = [];
  for (const [index, step] of steps.entries()) {
    const answer = refusals.get(index);
    const code = answer?.refusal?.code;
    if (code === undefined) settled.push(step);
    // another value is there under this key
    else if (step.op === "add" && code === "EEXIST") settled.push({ ...step, op: "remove" }, step);
    else if (step.op !== "remove" || code !== "ENOENT" || isSetMissing(answer, step)) return undefined;
  }
  return settled;
}

/** ENOENT is said of table and set too; the kernel points at what it means, and elements stand behind both. */
function isSetMissing(answer: NetlinkAnswer | undefined, { setName }: Step): boolean {
  const attributeBytes = (name: string) => (4 + name.length + 1 + 3) & ~3;
  const elements = NLMSG_HEADER_BYTES + NFGENMSG_BYTES + attributeBytes(NFT_TABLE) + attributeBytes(setName);
  return answer?.refusedOffset !== undefined && answer.refusedOffset < elements;
}

function describe(element: NftElement): string {
  return element.set === "genuine" ? `${element.link} . ${element.address}` : `${element.unit}`;
}

function packetsOf(object: Attributes): number {
  return Number(object.nested(OBJ_DATA)?.get(COUNTER_PACKETS)?.readBigUInt64BE() ?? 0n);
}
