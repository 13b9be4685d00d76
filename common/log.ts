import { type Logger as PinoLogger, pino, stdSerializers } from "pino";

/** Passed in, never global. Fixed message, facts in fields: `log.info({ interfaceId }, "interface attached")`. */
export type Logger = Pick<PinoLogger<never>, "debug" | "info" | "warn" | "error">;

/** Field names that mean the same in every line. A line may have others; these are never used for something else. */
export type LogFields = {
  /** `namespace/name`. */
  readonly pod?: string;
  readonly containerId?: string;
  readonly ifname?: string;
  readonly interfaceId?: string;
  readonly address?: string;
  readonly units?: readonly string[];
  /** A cloud's call, by its own name. */
  readonly operation?: string;
  readonly durationMs?: number;
  /** An Error; printed with its code and causes. */
  readonly err?: unknown;
};

export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export type LogOptions = {
  /** Default info. */
  readonly level?: LogLevel;
  /** Where JSON lines go; default standard error (standard output is the CNI protocol's). */
  readonly stream?: { write(line: string): void };
};

/** Builds the one logger of a process. error means that a person must act. */
export function buildLogger(options: LogOptions = {}): Logger {
  return pino(
    {
      level: options.level ?? "info",
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: stdSerializers.errWithCause },
    },
    options.stream ?? pino.destination({ dest: 2, sync: true }),
  );
}

/** A logger that keeps its lines, as objects, at every level. For tests. */
export function memoryLogger(): { readonly log: Logger; readonly lines: Record<string, unknown>[] } {
  const lines: Record<string, unknown>[] = [];
  const stream = { write: (line: string) => lines.push(JSON.parse(line) as Record<string, unknown>) };
  return { log: buildLogger({ level: "debug", stream }), lines };
}
