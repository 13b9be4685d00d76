import type { Check } from "./check.ts";
import { lifeChecks } from "./checks/life.ts";
import { outsideChecks } from "./checks/outside.ts";
import { podChecks } from "./checks/pods.ts";
import { serviceChecks } from "./checks/services.ts";

/** Every check of the demo, in the order in which they run. */
export const CHECKS: readonly Check[] = [...podChecks, ...serviceChecks, ...outsideChecks, ...lifeChecks];

/** Those that a sabotage is judged by: the others need running daemons, which would put things back. */
export const PACKET_CHECKS: readonly Check[] = [...podChecks, ...serviceChecks, ...outsideChecks];
