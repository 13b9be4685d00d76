import type { InterfaceId } from "../../common/ids.ts";
import { ipBatch } from "../cloudsim/vpc/commands.ts";
import { directCells, egressOf, NARROW_MTU_BYTES } from "./cells-direct.ts";
import { forgedCells } from "./cells-forged.ts";
import { serviceCells } from "./cells-services.ts";
import { buildLab, type Lab, type LabSpec } from "./lab.ts";
import { PODS } from "./lab-addresses.ts";
import { type Outcome, openWorld, runCells } from "./world.ts";

/** Builds the lab of that spec, runs every cell in it, and takes it down. `prepare` acts on it before the cells run. What rose while forged packets were sent is their cells' own affair. */
export async function runMatrix(
  spec: LabSpec,
  prepare: (lab: Lab) => void | Promise<void> = () => undefined,
): Promise<Outcome> {
  await using lab = await buildLab(spec);
  using _world = openWorld(lab);
  narrow(lab);
  publishPods(lab);
  await prepare(lab);
  const outcome = await runCells(lab, cellsOf(lab));
  const forged = await runCells(lab, forgedCells(lab), 1);
  return {
    names: [...outcome.names, ...forged.names],
    failed: new Map([...outcome.failed, ...forged.failed]),
    rose: outcome.rose,
  };
}

/** Every cell of a lab: those of Services only when it has a kube-proxy. */
export function cellsOf(lab: Lab): ReturnType<typeof directCells> {
  return [...directCells(lab), ...(lab.spec.kubeProxy === undefined ? [] : serviceCells(lab))];
}

/** The way to node-b takes smaller packets than the pods' links. */
function narrow(lab: Lab): void {
  const link = lab.vpc.fabric.portLink("eni-node-b-eth0" as InterfaceId);
  ipBatch(lab.vpc.fabric.netnsPath, [`link set ${link} mtu ${NARROW_MTU_BYTES}`]);
}

/** With external SNAT something outside the node translates pods: here the fabric, one public address each. */
function publishPods(lab: Lab): void {
  if (lab.spec.externalSnat !== true) return;
  for (const pod of Object.values(PODS)) lab.vpc.publish(egressOf(pod[4]).toString(), pod[4]);
}
