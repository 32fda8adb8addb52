// The classes of failure, by what the caller does about them, and nothing else. Foreign errors are
// translated into these once, at the edge where they come in; texts of foreign errors stay in `cause`
// and never reach a log.

/** Every error of our own: a stable `code`, what to do next, and no text that a person wrote. */
export class AppError extends Error {
  readonly code: string;
  readonly hint: string | undefined;
  constructor(code: string, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.hint = options.hint;
  }
}

/** One thing that is wrong with the configuration, and where. */
export interface ConfigProblem {
  /** Dotted key, `mailboxes[0].imap.host`; empty for the file as a whole. */
  key: string;
  /** Line in the file, counted from 1; null when it does not come from the file. */
  line: number | null;
  /** What is wrong and what to write instead. */
  message: string;
}

/** The configuration cannot be used: at boot exit 78, on reload keep the last good one. */
export class ConfigError extends AppError {
  readonly problems: readonly ConfigProblem[];
  constructor(problems: readonly ConfigProblem[]) {
    const text = problems.map(
      ({ key, line, message }) =>
        `${line === null ? "" : `line ${line}: `}${key === "" ? "" : `${key}: `}${message}`,
    );
    super("config/invalid", text.join("\n"));
    this.problems = problems;
  }
}

/** The lease is gone or too short for what was about to start: stop before the next effect. */
export class LeaseLostError extends AppError {
  constructor(reason: string) {
    super("lease/lost", `the lease on this mailbox is lost: ${reason}`);
  }
}

/** The store has seen a newer fence than the one that tried to write. */
export class FencedError extends AppError {
  constructor(mailbox: string) {
    super("store/fenced", `a newer holder of mailbox ${mailbox} has written; this one must stop`);
  }
}

/** The shared state is not what this holder wrote last: Redis lost some of it. Read it anew. */
export class StateLostError extends AppError {
  constructor(mailbox: string) {
    super("store/state-lost", `the shared state of mailbox ${mailbox} is not the one last written`);
  }
}

/** An await passed its deadline. */
export class DeadlineError extends AppError {
  constructor(what: string) {
    super("deadline/passed", `${what} passed its deadline`);
  }
}

/** Three words for three failures (DESIGN section 6), and the named states of a folder. */
export type MailFailure =
  | "unreachable"
  | "rejected"
  | "throttled"
  | "folder_missing"
  | "uidvalidity_invalid"
  | "closed"
  | "refused";

/**
 * The mail server said no, or nothing. `closed`: the connection died under a command; `refused`: the
 * server answered NO to a command and the connection lives.
 */
export class MailError extends AppError {
  readonly failure: MailFailure;
  constructor(
    failure: MailFailure,
    code: string,
    options: { hint?: string; cause?: unknown } = {},
  ) {
    super(code, `mail server: ${failure}`, options);
    this.failure = failure;
  }
}

/** The native error of an aborted signal: unwind quietly, never log. */
export const isAbort = (error: unknown): boolean =>
  error instanceof Error && error.name === "AbortError";

/** Class names that the language and the platform give; any other may be a foreign text. */
const KNOWN_NAMES: ReadonlySet<string> = new Set([
  "Error",
  "AggregateError",
  "EvalError",
  "RangeError",
  "ReferenceError",
  "SyntaxError",
  "TypeError",
  "URIError",
  "AbortError",
  "DataCloneError",
  "InvalidStateError",
  "NotSupportedError",
  "OperationError",
  "TimeoutError",
]);

/**
 * A short, harmless word for any thrown value: our own code, a system code, or a class name of the
 * language; `unknown` for everything else.
 */
export const errorCode = (error: unknown): string => {
  if (error instanceof AppError) return error.code;
  if (!(error instanceof Error)) return "unknown";
  const { code } = error as { code?: unknown };
  if (typeof code === "string" && /^[A-Z][A-Z0-9_]{1,40}$/.test(code)) return code;
  return KNOWN_NAMES.has(error.name) ? error.name : "unknown";
};
