/**
 * Carries a plan's actions out: each told to the node's side before the cloud loses something and after it gave something, so that a crash in between
 * gives nothing away twice. Several interfaces at once, one action on each (which the plan sees to).
 */
import PQueue from "p-queue";
import type { Logger } from "../common/log.ts";
import { CloudError, type CloudErrorCode } from "../providers/errors.ts";
import type { CloudInterface, CloudNetwork } from "../providers/provider.ts";
import type { Action } from "./plan/facts.ts";
import type { PoolHost } from "./pool-host.ts";

/** Calls that one node has under way: more would only wait at the cloud's limits. */
const AT_ONCE = 4;

/** Whatever else a release fails with, a try of it whose answer was lost may have acted: only a list of the cloud tells. */
const REFUSALS: ReadonlySet<CloudErrorCode> = new Set(["unauthorized", "not-ours"]);

/** What the cloud has confirmed, for whoever keeps its last answer. */
export type Written = {
  readonly created: (one: CloudInterface) => void;
  readonly assigned: (id: CloudInterface["id"], units: CloudInterface["units"]) => void;
  readonly released: (id: CloudInterface["id"], units: CloudInterface["units"]) => void;
  readonly deleted: (id: CloudInterface["id"]) => void;
};

export type CloudWritesDeps = {
  readonly network: CloudNetwork;
  readonly host: PoolHost;
  readonly written: Written;
  readonly log: Logger;
};

export class CloudWrites {
  private readonly deps: CloudWritesDeps;
  private readonly queue = new PQueue({ concurrency: AT_ONCE });
  private readonly begun = new Map<Action, Promise<void>>();

  constructor(deps: CloudWritesDeps) {
    this.deps = deps;
  }

  /** Begun and not done. */
  get running(): readonly Action[] {
    return [...this.begun.keys()];
  }

  /**
   * Returns at once; `ended` is told the error, or undefined.
   * @param token the same asks for the same interface, also after a crash
   */
  start(action: Action, token: string, signal: AbortSignal, ended: (error: unknown) => void): void {
    const work = this.queue
      .add(() => this.perform(action, token, signal))
      .then(
        () => undefined,
        (error: unknown) => error,
      )
      .then((error) => {
        this.begun.delete(action);
        ended(error);
      });
    this.begun.set(action, work);
  }

  /** Resolves when nothing runs. */
  async settled(): Promise<void> {
    await Promise.all(this.begun.values());
  }

  private perform(action: Action, token: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    switch (action.kind) {
      case "assign":
        return this.assign(action, signal);
      case "create":
        return this.create(action, token, signal);
      case "release":
        return this.release(action, signal);
      case "delete":
        return this.delete(action, signal);
    }
  }

  private async assign(
    { interfaceId, requests }: Extract<Action, { kind: "assign" }>,
    signal: AbortSignal,
  ): Promise<void> {
    try {
      this.hold(interfaceId, await this.deps.network.assignUnits(interfaceId, requests, signal));
    } catch (error) {
      if (error instanceof CloudError) this.hold(interfaceId, error.added);
      throw error;
    }
  }

  private hold(interfaceId: CloudInterface["id"], units: CloudInterface["units"]): void {
    if (units.length === 0) return;
    const { host, written, log } = this.deps;
    log.info({ interfaceId, units: units.map(String) }, "units assigned");
    written.assigned(interfaceId, units);
    host.holdUnits(interfaceId, units);
  }

  private async create(
    { key, ...request }: Extract<Action, { kind: "create" }>,
    token: string,
    signal: AbortSignal,
  ): Promise<void> {
    const { network, written, log } = this.deps;
    const created = await network.createInterface(
      { ...request, poolKey: key, securityGroupIds: [], token },
      signal,
    );
    const { id, state, subnet, units } = created;
    log.info({ interfaceId: id, state, subnetId: subnet.id, units: units.map(String) }, "interface created");
    written.created(created);
  }

  private async release(
    { interfaceId, units }: Extract<Action, { kind: "release" }>,
    signal: AbortSignal,
  ): Promise<void> {
    const { network, host } = this.deps;
    const leaving = host.startRelease(interfaceId, units);
    if (leaving.length === 0) return;
    try {
      await network.releaseUnits(interfaceId, leaving, signal);
    } catch (error) {
      const gone = error instanceof CloudError ? error.released : [];
      this.gaveBack(interfaceId, gone);
      const left = leaving.filter((unit) => !gone.some((other) => other.equals(unit)));
      if (isRefusal(error)) host.cancelRelease(interfaceId, left);
      throw error;
    }
    this.gaveBack(interfaceId, leaving);
  }

  private gaveBack(interfaceId: CloudInterface["id"], units: CloudInterface["units"]): void {
    if (units.length === 0) return;
    const { host, written, log } = this.deps;
    log.info({ interfaceId, units: units.map(String) }, "units given back to the cloud");
    host.released(interfaceId, units);
    written.released(interfaceId, units);
  }

  private async delete(
    { interfaceId, units }: Extract<Action, { kind: "delete" }>,
    signal: AbortSignal,
  ): Promise<void> {
    const { network, host, written, log } = this.deps;
    const leaving = host.startRelease(interfaceId, units);
    // somebody has got one of its addresses meanwhile
    if (leaving.length < units.length) return host.cancelRelease(interfaceId, leaving);
    try {
      await host.interfaceLeaving(interfaceId);
      await network.deleteInterface(interfaceId, signal);
    } catch (error) {
      if (isRefusal(error)) host.cancelRelease(interfaceId, leaving);
      await host.interfaceStays(interfaceId);
      throw error;
    }
    log.info({ interfaceId }, "interface deleted: its addresses were not needed");
    host.interfaceDeleted(interfaceId);
    written.deleted(interfaceId);
  }
}

/** The cloud has surely done nothing. */
function isRefusal(error: unknown): boolean {
  return error instanceof CloudError && REFUSALS.has(error.code);
}
