/**
 * Named places at which a test makes the daemon die or fail. In production every reach() does nothing.
 */
export interface FaultPoints {
  /** Called just before a write; the name is `<verb>.<what comes next>`, for example `add.pair`. May throw or kill. */
  reach(point: string): void;
}

export const noFaultPoints: FaultPoints = { reach: () => undefined };
