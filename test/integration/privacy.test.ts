// Nothing that a person wrote, and no secret, leaves the daemon by any way but the webhook: canaries are
// planted in the mail and in the configuration, everything that can fail is made to fail at log level
// debug, and then every word the daemon said and every byte it keeps is searched.
// @module-tag resilience
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  CANARY,
  FOLDER_CANARY,
  canariesBelow,
  canariesIn,
  canaryKey,
  canaryMessage,
} from "../support/canaries.ts";
import type { DaemonSettings } from "../support/daemon-config.ts";
import { type TestDaemon, createTestDaemon } from "../support/daemon.ts";
import type { LogLine } from "../support/daemon-process.ts";
import { poisonMessage, until } from "../support/deliveries.ts";
import { type Dovecot, startDovecot } from "../support/dovecot.ts";
import { startImapScript } from "../support/imap-script.ts";
import { type Receiver, type ReceiverAnswer, startReceiver } from "../support/receiver.ts";

const USER = `${CANARY}user`;
const TOKEN = `${CANARY}token`;
const SECRET = `whsec_${canaryKey("secret")}`;

let server: Dovecot;

beforeAll(async () => {
  server = await startDovecot();
});
afterAll(async () => {
  await server.stop();
});

/** One mailbox that works and four that do not, each in a way of its own. */
const settingsFor = (receiver: Receiver, ports: { rude: number }): DaemonSettings => {
  const account = { port: server.port, user: USER, password: server.password };
  return {
    mailboxes: [
      { ...account, start_from: "beginning" },
      { ...account, id: "wrong", password: `${CANARY}password` },
      { ...account, id: "missing", folder: `${FOLDER_CANARY} nowhere` },
      { ...account, id: "nohost", host: `${CANARY}host.invalid`, tls: "implicit" },
      { ...account, id: "rude", port: ports.rude },
      { ...account, id: "other", folder: `${FOLDER_CANARY} other` },
    ],
    webhook: {
      url: `http://127.0.0.1:${receiver.port}/${CANARY}path?key=${CANARY}query`,
      secret: SECRET,
      timeout_seconds: 1,
    },
    rules: [
      {
        id: "header",
        name: `${CANARY}rule`,
        conditions: [
          { field: `header:x-${CANARY}`, operator: "contains", value: `${CANARY}header` },
        ],
        actions: { priority: "high" },
      },
      {
        id: "broken",
        name: `${CANARY}broken`,
        conditions: [{ field: "subject", operator: "regex", value: `(${CANARY}regex` }],
        actions: { webhook_url: `https://example.com/${CANARY}rulepath` },
      },
    ],
    top: { http: { host: "127.0.0.1", port: 0, token: TOKEN } },
  };
};

const get = async (daemon: TestDaemon, path: string): Promise<string> => {
  const headers = { authorization: `Bearer ${TOKEN}` };
  const response = await fetch(`http://127.0.0.1:${daemon.httpPort}${path}`, { headers });
  expect(response.ok || path === "/readyz").toBe(true);
  return await response.text();
};

/** Everything that can be asked of a daemon that runs. */
const faces = async (daemon: TestDaemon): Promise<string> => {
  const paths = ["/metrics", "/api/v1/status", "/readyz", "/healthz"];
  const pages = await Promise.all(paths.map((path) => get(daemon, path)));
  const commands = [
    ["status"],
    ["status", "--json"],
    ["receipts"],
    ["receipts", "--json"],
    ["parked", "list"],
  ];
  const said: string[] = [];
  for (const argv of commands) {
    const { code, out, err } = await daemon.cli(...argv);
    expect([argv, code]).toEqual([argv, 0]);
    said.push(out, err);
  }
  return [...pages, ...said].join("\n");
};

/** Everything that was ever written to standard output and standard error. */
const words = (daemon: TestDaemon): string => JSON.stringify(daemon.lines) + daemon.stderr();

const waiting = async (daemon: TestDaemon): Promise<number> => {
  const { destinations } = JSON.parse(await get(daemon, "/api/v1/status")) as {
    destinations: { waiting: number; parked: number }[];
  };
  return destinations.reduce((sum, one) => sum + one.waiting + one.parked, 0);
};

/** Code that throws in the daemon's process, where nobody catches it. */
const uncaught = (code: string): Record<string, string> => ({
  NODE_OPTIONS: `--import=data:text/javascript,setTimeout(()=>{${encodeURIComponent(code)}},1500)`,
});

/** A line that tells of this class or reason. */
const tells =
  (word: string) =>
  (line: LogLine): boolean =>
    line["class"] === word || line["reason"] === word;

const mailServersFail = async (daemon: TestDaemon): Promise<void> => {
  const failures = { wrong: "rejected", missing: "folder_missing", nohost: "unreachable" };
  for (const [mailbox, failure] of Object.entries(failures)) {
    await daemon.waitForEvent(
      "mailbox.failed",
      (line) => line["mailbox"] === mailbox && line["failure"] === failure,
    );
  }
  await daemon.waitForEvent("mailbox.failed", (line) => line["mailbox"] === "rude");
};

const LOCATION = { location: `http://127.0.0.1/${CANARY}location` };

/** Answers, one after the other, and the line each leads to; five in a row open the breaker. */
const TROUBLES: readonly [ReceiverAnswer, "delivery.failed" | "delivery.parked", string][] = [
  [{ status: 404 }, "delivery.parked", "http_4xx"],
  [{ status: 302, headers: LOCATION }, "delivery.parked", "redirect"],
  [{ hang: true }, "delivery.failed", "timeout"],
  [{ dropAfterRead: true }, "delivery.failed", "reset"],
  [{ status: 500 }, "delivery.failed", "http_5xx"],
];

const receiverFails = async (
  daemon: TestDaemon,
  receiver: Receiver,
  answerWith: (answer: ReceiverAnswer) => void,
): Promise<void> => {
  await receiver.stop();
  await server.deliver(USER, [canaryMessage("refused")]);
  await daemon.waitForEvent("delivery.failed", tells("refused"));
  await receiver.restart();
  const delivered = daemon.waitForNext("message.delivered");
  await server.deliver(USER, [canaryMessage("fine")]);
  await delivered;
  for (const [answer, event, word] of TROUBLES) {
    answerWith(answer);
    const told = daemon.waitForEvent(event, tells(word));
    await server.deliver(USER, [canaryMessage(word)]);
    await told;
  }
  await daemon.waitForEvent("delivery.breaker_opened");
};

/** A reload that is no YAML, one that is no configuration, and a start on the latter. */
const configurationFails = async (daemon: TestDaemon): Promise<void> => {
  for (const text of [
    `webhook: { url: "${CANARY}url", secret: ${CANARY} }\npolling: {`,
    `webhook: { url: "${CANARY} url", secret: "${CANARY}" }\nmailboxes: ${CANARY}\n`,
  ]) {
    const rejected = daemon.waitForNext("config.rejected");
    daemon.writeConfigText(text);
    daemon.kill("SIGHUP");
    await rejected;
  }
  daemon.kill("SIGKILL");
  await daemon.exit;
  expect((await daemon.startAndEnd()).code).toBe(78);
};

/** A folder that is numbered anew, and a message in it that nobody can read. */
const folderFails = async (daemon: TestDaemon): Promise<void> => {
  server.resetUidvalidity(USER);
  await server.deliver(USER, [poisonMessage(`${CANARY} poison`, CANARY)]);
  await daemon.start();
  await daemon.waitForEvent("mailbox.reset");
  await daemon.waitForEvent("message.reduced");
  expect((await daemon.stop()).code).toBe(0);
};

/** Errors in the daemon's process that nobody catches. */
const processFails = async (daemon: TestDaemon): Promise<void> => {
  for (const code of [
    `throw new Error("${CANARY}thrown")`,
    `throw "${CANARY}text"`,
    `Promise.reject(Object.assign(new TypeError("${CANARY}rejected"), { code: "${CANARY}code" }))`,
  ]) {
    expect((await daemon.startAndEnd(uncaught(code))).code).toBe(1);
  }
  expect(daemon.events("daemon.uncaught")).toHaveLength(3);
};

/** Everything is delivered or dropped, and the daemon has died and tidied up since. */
const everythingEnds = async (daemon: TestDaemon): Promise<void> => {
  await daemon.start();
  await until("nothing waits but what is parked", async () => {
    const { out } = await daemon.cli("parked", "list", "--json");
    return (await waiting(daemon)) === (JSON.parse(out) as unknown[]).length;
  });
  expect((await daemon.cli("parked", "drop", "--all")).code).toBe(0);
  daemon.kill("SIGKILL");
  await daemon.exit;
  await daemon.start();
  await until("the upkeep is done", () => canariesBelow(daemon.dataDir).length === 0);
  expect(await waiting(daemon)).toBe(0);
};

test("no canary sings, whatever fails", async () => {
  let answer: ReceiverAnswer = {};
  const receiver = await startReceiver({ secrets: [SECRET], answer: () => answer });
  await using rude = await startImapScript({
    reply: ({ name, tag }) =>
      name === "LOGIN" || name === "AUTHENTICATE"
        ? [`* BYE ${CANARY}bye`, `${tag} NO [ALERT] ${CANARY}alert for ${USER}`]
        : undefined,
  });
  const settings = settingsFor(receiver, { rude: rude.port });
  await using daemon = createTestDaemon(settings);
  await server.deliver(USER, [canaryMessage("first")], { folder: `${FOLDER_CANARY} other` });
  await server.deliver(USER, [canaryMessage("first")]);
  await daemon.start();
  await daemon.waitForEvent("message.delivered");
  await daemon.waitForEvent("config.rule_refused");
  await mailServersFail(daemon);
  await receiverFails(daemon, receiver, (next) => (answer = next));
  expect(canariesIn(await faces(daemon))).toEqual([]);
  // The search finds what is there: payloads wait in the clear when there is no key.
  expect(canariesBelow(daemon.dataDir)).not.toEqual([]);

  await configurationFails(daemon);
  daemon.writeConfig(settings);
  answer = {};
  await folderFails(daemon);
  await processFails(daemon);
  await everythingEnds(daemon);
  expect(canariesIn(await faces(daemon))).toEqual([]);
  expect((await daemon.stop()).code).toBe(0);
  expect(canariesBelow(daemon.dataDir)).toEqual([]);
  expect(canariesIn(words(daemon))).toEqual([]);
  expect(receiver.requests.every(({ verified }) => verified)).toBe(true);
  await receiver.stop();
});

test("with a spool key nothing readable is at rest, even while it waits or is parked", async () => {
  const user = `${CANARY}keyed`;
  const receiver = await startReceiver({
    answer: ({ body }) => ({ status: body.includes("park") ? 404 : 503 }),
  });
  await using daemon = createTestDaemon({
    mailboxes: [{ port: server.port, user, password: server.password, start_from: "beginning" }],
    webhook: { url: receiver.url },
    env: { SIGNALPOST_SPOOL_KEY: canaryKey("spool") },
  });
  const names = ["wait-1", "wait-2", "park-1"];
  await server.deliver(
    user,
    names.map((name) => canaryMessage(name)),
  );
  await daemon.start();
  await until("all of them are in the spool", async () => {
    const [mailbox] = (await daemon.status()).mailboxes;
    return mailbox?.spool.waiting === 2 && mailbox.spool.parked === 1;
  });
  expect(canariesBelow(daemon.dataDir)).toEqual([]);
  daemon.kill("SIGKILL");
  await daemon.exit;
  expect(canariesBelow(daemon.dataDir)).toEqual([]);
  const shown = await daemon.cli("parked", "list", "--json");
  expect([shown.code, canariesIn(shown.out + shown.err)]).toEqual([0, []]);
  expect(canariesIn(words(daemon))).toEqual([]);
  await receiver.stop();
});
