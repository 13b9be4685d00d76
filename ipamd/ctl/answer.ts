export const EXIT = { done: 0, failed: 1, wrongUse: 2, refused: 3 } as const;

/** What a command says: lines for people, the same as JSON for programs. */
export type Answer = { readonly code: number; readonly lines: readonly string[]; readonly json: object };

/** A command was given what it does not take. */
export class WrongUse extends Error {}
