// `signalpost demo`: what Signalpost does, to be looked at before anything is set up. The parts are in
// cli/demo; this file leads through them: the samples, then mail that the user sends, then the sum.
import { AppError, errorCode } from "../../core/errors.ts";
import { onSignals, systemClock } from "../../daemon/system.adapter.ts";
import { findDemo } from "../demo/demo-folder.adapter.ts";
import { appendToMailbox } from "../demo/embedded-mailbox.adapter.ts";
import { hasKeyboard, readLines } from "../demo/keyboard.adapter.ts";
import { createPaint, eventText, introduction, invitation, sumText } from "../demo/printing.ts";
import { type DemoEvent, type RunningDemo, startDemo } from "../demo/running-demo.ts";
import { liveMail } from "../demo/sample-mails.ts";
import { parseOptions, usageError } from "../options.ts";
import { type Command, type Terminal, EXIT } from "../terminal.ts";

const SUBJECT = "Hello from the demo";

/** How long `--once` waits for all that must come. */
const PATIENCE_MS = 60_000;
/** At the latest after so long the user is told what to do, samples or not. */
const INVITATION_MS = 5000;
const LOOK_MS = 20;

const isColoured = ({ isTty, env }: Terminal): boolean => isTty && (env["NO_COLOR"] ?? "") === "";

const isSettled = (demo: RunningDemo): boolean => {
  const { mails, webhooks, filtered } = demo.counts();
  return mails === webhooks + filtered;
};

/** Waits until every mail is a webhook or filtered; gives up at the deadline or when `stop` aborts. */
const settle = async (demo: RunningDemo, untilMs: number, stop: AbortSignal): Promise<void> => {
  while (!isSettled(demo) && !stop.aborted && systemClock.monoMs() < untilMs) {
    await systemClock.sleep(LOOK_MS, stop);
  }
};

/** The samples, one more mail while the daemon listens, the sum; 1 when something is missing. */
const playOnce = async (
  demo: RunningDemo,
  terminal: Terminal,
  stop: AbortSignal,
): Promise<number> => {
  const untilMs = systemClock.monoMs() + PATIENCE_MS;
  await settle(demo, untilMs, stop);
  if (isSettled(demo) && !stop.aborted) {
    terminal.out("One more mail arrives now; the mail server tells the daemon of it (IDLE).\n");
    await demo.send(liveMail(SUBJECT));
    await settle(demo, untilMs, stop);
  }
  const isComplete = isSettled(demo) && demo.counts().refused === 0;
  return isComplete || stop.aborted ? EXIT.ok : EXIT.failed;
};

/** Sends what is typed, until the user leaves. */
const playAlong = async (
  demo: RunningDemo,
  terminal: Terminal,
  leave: AbortController,
): Promise<number> => {
  const { signal } = leave;
  await settle(demo, systemClock.monoMs() + INVITATION_MS, signal);
  const paint = createPaint(isColoured(terminal));
  terminal.out(invitation(hasKeyboard(), demo.configPath, paint));
  const onLine = (text: string): void => {
    const [, subject = SUBJECT] = /^send\s+(.+)$/.exec(text.trim()) ?? [];
    if (text.trim() === "q") leave.abort();
    else if (/^(|n|send(\s.*)?)$/.test(text.trim())) void demo.send(liveMail(subject));
    else terminal.out("Enter sends a sample mail, 'send SUBJECT' one of yours, 'q' leaves.");
  };
  const stopReading = hasKeyboard()
    ? readLines({ line: onLine, end: () => leave.abort() })
    : () => undefined;
  await systemClock.sleep(Infinity, signal);
  stopReading();
  // The terminal has written ^C where the cursor stood.
  terminal.out("");
  return EXIT.ok;
};

/** Prints events, from the introduction on; what comes before it waits for it. */
const createStage = (terminal: Terminal) => {
  const paint = createPaint(isColoured(terminal));
  let waiting: DemoEvent[] | null = [];
  const tell = (event: DemoEvent): void => {
    if (waiting === null) terminal.out(eventText(event, paint));
    else waiting.push(event);
  };
  const open = (demo: RunningDemo): void => {
    terminal.out(introduction(demo, demo.counts().mails, paint));
    const early = waiting ?? [];
    waiting = null;
    for (const event of early) tell(event);
  };
  return { tell, open };
};

const play = async (isOnce: boolean, terminal: Terminal): Promise<number> => {
  const leave = new AbortController();
  // A terminal that is closed (SIGHUP) ends the demo too.
  const abort = (): void => leave.abort();
  onSignals({ terminate: abort, reload: abort });
  const stage = createStage(terminal);
  const demo = await startDemo(terminal.versions.signalpost, stage.tell);
  let code: number = EXIT.failed;
  try {
    stage.open(demo);
    code = isOnce
      ? await playOnce(demo, terminal, leave.signal)
      : await playAlong(demo, terminal, leave);
  } finally {
    const keepFolder = code !== EXIT.ok;
    await demo.stop({ keepFolder });
    terminal.out(sumText(demo.counts()));
    if (keepFolder)
      terminal.err(`signalpost: something is missing; the log tells: ${demo.logPath}`);
  }
  return code;
};

/** Puts a mail into the demo that runs in another terminal. */
const send = async (words: readonly string[], terminal: Terminal): Promise<number> => {
  const subject = words.join(" ").trim() || SUBJECT;
  const notRunning = (cause?: unknown): AppError =>
    new AppError("demo/not_running", "no demo is running", {
      hint: "Start one in another terminal: npm run demo",
      cause,
    });
  const port = findDemo();
  if (port === null) throw notRunning();
  try {
    await appendToMailbox(port, liveMail(subject));
  } catch (error) {
    // The file of a demo that was killed leads nowhere.
    throw errorCode(error) === "ECONNREFUSED" ? notRunning(error) : error;
  }
  terminal.out("sent; the demo shows its webhook");
  return EXIT.ok;
};

/** Plays the demo until it is left, or with `--once` to its end; `demo send` adds a mail to it. */
export const demo: Command = async (args, terminal) => {
  const { values, positionals } = parseOptions(args, { once: { type: "boolean" } });
  const [verb, ...words] = positionals;
  if (verb === "send" && values.once !== true) return await send(words, terminal);
  if (verb !== undefined) throw usageError(`Unknown word '${verb}'`);
  return await play(values.once === true, terminal);
};
