// Nothing that a person wrote, and no secret, leaves the daemon by any way but the webhook: canaries are
// planted in the mail and in the configuration, everything that can fail is made to fail at log level
// debug, and then every word the daemon said and every byte it keeps is searched.
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
import { until } from "../support/deliveries.ts";
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
  const deliver = (name: string, folder = "INBOX"): Promise<void> =>
    server.deliver(USER, [canaryMessage(name)], { folder });
  await deliver("first", `${FOLDER_CANARY} other`);
  await deliver("first");
  await daemon.start();
  await daemon.waitForEvent("message.delivered");
  const isClass = (wanted: string) => (line: LogLine) =>
    line["class"] === wanted || line["reason"] === wanted;

  // The mail servers that do not work.
  for (const [mailbox, failure] of [
    ["wrong", "rejected"],
    ["missing", "folder_missing"],
    ["nohost", "unreachable"],
  ]) {
    await daemon.waitForEvent(
      "mailbox.failed",
      (line) => line["mailbox"] === mailbox && line["failure"] === failure,
    );
  }
  await daemon.waitForEvent("mailbox.failed", (line) => line["mailbox"] === "rude");
  await daemon.waitForEvent("config.rule_refused");

  // The receiver, in every way.
  const troubles: [ReceiverAnswer, "delivery.failed" | "delivery.parked", string][] = [
    [{ status: 500 }, "delivery.failed", "http_5xx"],
    [{ status: 404 }, "delivery.parked", "http_4xx"],
    [
      { status: 302, headers: { location: `http://127.0.0.1/${CANARY}location` } },
      "delivery.parked",
      "redirect",
    ],
    [{ hang: true }, "delivery.failed", "timeout"],
    [{ dropAfterRead: true }, "delivery.failed", "reset"],
  ];
  for (const [trouble, event, name] of troubles) {
    answer = trouble;
    const seen = daemon.waitForEvent(event, isClass(name));
    await deliver(name);
    await seen;
  }
  await receiver.stop();
  await daemon.waitForEvent("delivery.breaker_opened");
  await deliver("refused");
  expect(canariesIn(await faces(daemon))).toEqual([]);
  // The search finds what is there: payloads wait in the clear when there is no key.
  expect(canariesBelow(daemon.dataDir)).not.toEqual([]);

  // A configuration that cannot be used, and then one that cannot even start.
  daemon.writeConfigText(`webhook: { url: "${CANARY}url", secret: ${CANARY} }\npolling: {`);
  daemon.kill("SIGHUP");
  await daemon.waitForEvent("config.rejected");
  daemon.writeConfigText(
    `webhook: { url: "${CANARY} url", secret: "${CANARY}" }\nmailboxes: ${CANARY}\n`,
  );
  const rejected = daemon.waitForNext("config.rejected");
  daemon.kill("SIGHUP");
  await rejected;
  daemon.kill("SIGKILL");
  await daemon.exit;
  expect((await daemon.startAndEnd()).code).toBe(78);
  daemon.writeConfig(settings);

  // Death, a folder that is numbered anew, a message that nobody can read, and errors nobody catches.
  server.resetUidvalidity(USER);
  const recipients = Array.from({ length: 20_000 }, (_, index) => `${CANARY}${index}@example.com`);
  await server.deliver(USER, [
    canaryMessage("poison", { extra: [["Cc", recipients.join(",\r\n ")]] }),
  ]);
  await receiver.restart();
  answer = {};
  await daemon.start();
  await daemon.waitForEvent("mailbox.reset");
  await daemon.waitForEvent("message.reduced");
  expect((await daemon.stop()).code).toBe(0);
  for (const code of [
    `throw new Error("${CANARY}thrown")`,
    `throw "${CANARY}text"`,
    `Promise.reject(Object.assign(new TypeError("${CANARY}rejected"), { code: "${CANARY}code" }))`,
  ]) {
    expect((await daemon.startAndEnd(uncaught(code))).code).toBe(1);
  }
  expect(daemon.events("daemon.uncaught")).toHaveLength(3);

  // Everything is delivered or dropped; after the upkeep at the start nothing of it is left anywhere.
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
  expect(canariesIn(await faces(daemon))).toEqual([]);
  await daemon.stop();
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
