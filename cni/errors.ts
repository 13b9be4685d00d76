/**
 * CNI error numbers (CNI specification 1.1.0, section 5, "Error") and the one table from our codes to them.
 */
import { CodedError, describeError, hasCode, type RetryAdvice } from "../common/errors.ts";

/** 0 to 99 belong to the specification, from 100 on to the plugin. */
export const CNI_NUMBERS = {
  incompatibleVersion: 1,
  unsupportedField: 2,
  /** Tells the runtime that it need not DEL: never used for anything of which something may be left. */
  unknownContainer: 3,
  invalidVariable: 4,
  ioFailure: 5,
  decodeFailure: 6,
  invalidConfig: 7,
  tryAgainLater: 11,
  notAvailable: 50,
  limitedConnectivity: 51,
  /** The data path of a pod could not be laid down, or is not as it must be. Ours. */
  datapath: 100,
  /** A bug of ours (the specification's own libraries use it so). */
  internal: 999,
} as const;

/** An error with a number of the specification, thrown where that number is decided. */
export class CniError extends CodedError {
  readonly number: number;

  constructor(
    number: keyof typeof CNI_NUMBERS,
    message: string,
    options: { readonly cause?: unknown; readonly retry?: RetryAdvice } = {},
  ) {
    super(`cni-${number}`, message, options);
    this.number = CNI_NUMBERS[number];
  }
}

/** Our codes, where the retry advice of the error does not say enough. The first that an error or one of its causes carries counts. */
const NUMBER_OF_CODE: ReadonlyMap<string, keyof typeof CNI_NUMBERS> = new Map([
  ["frame-version", "tryAgainLater"],
  ["frame-too-large", "ioFailure"],
  ["frame-malformed", "ioFailure"],
  ["request-incomplete", "ioFailure"],
  ["peer-not-allowed", "ioFailure"],
  ["stopping", "tryAgainLater"],
  ["client-gone", "tryAgainLater"],
  ["pool-empty", "tryAgainLater"],
  ["netns-gone", "invalidVariable"],
  ["not-a-netns", "invalidVariable"],
  ["host-netns", "invalidVariable"],
  ["container-id-too-long", "invalidVariable"],
  ["attachment-exists", "invalidVariable"],
  ["pod-link-exists", "invalidVariable"],
  ["attachment-ended", "tryAgainLater"],
  ["nft-rejected", "datapath"],
]);

/** The CNI number of any error: its own, by the table, 11 when trying again may help, else 999. */
export function cniNumber(error: unknown): number {
  if (error instanceof CniError) return error.number;
  for (const [code, number] of NUMBER_OF_CODE) if (hasCode(error, code)) return CNI_NUMBERS[number];
  if (error instanceof CodedError && error.retry !== "never") return CNI_NUMBERS.tryAgainLater;
  return CNI_NUMBERS.internal;
}

/** The version errors are printed in when the configuration names none: the newest, as the shim's own. */
export const ERROR_VERSION = "1.1.0";

/** The error as the document that goes to stdout. Its keys are the same in every version of the specification. */
export function printError(
  error: unknown,
  cniVersion: string = ERROR_VERSION,
): { readonly cniVersion: string; readonly code: number; readonly msg: string; readonly details: string } {
  const msg = error instanceof Error ? error.message : String(error);
  const whole = describeError(error);
  const causes = whole.startsWith(`${msg}: `) ? whole.slice(msg.length + 2) : "";
  return { cniVersion, code: cniNumber(error), msg, details: causes };
}
