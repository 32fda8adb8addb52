// What nearly every test of the whole daemon begins with: a user of its own on a Dovecot, a receiver
// that verifies signatures, and a daemon between them that has set its baseline. All of it ends with
// the scene.
import type { DaemonMailbox } from "./daemon-config.ts";
import { WEBHOOK_SECRET } from "./daemon-config.ts";
import { type DaemonOptions, type TestDaemon, createTestDaemon } from "./daemon.ts";
import type { Dovecot, RawClient } from "./dovecot.ts";
import { rawClient } from "./dovecot.ts";
import { type MessageHeaders, plainMessage } from "./mail.ts";
import { type Receiver, type ReceiverOptions, startReceiver } from "./receiver.ts";

/** What differs from the usual. */
export interface SceneOptions {
  /** Of the one mailbox, `default`. */
  mailbox?: Partial<DaemonMailbox>;
  /** Keys of the section `webhook`. */
  webhook?: Readonly<Record<string, unknown>>;
  answer?: ReceiverOptions["answer"];
  /** Other sections; `mailboxes` here replaces the one of `mailbox`. */
  settings?: Partial<DaemonOptions>;
  env?: Readonly<Record<string, string>>;
  /** Runs before the daemon starts, with the user's name. */
  before?: (user: string) => Promise<void>;
  /** Default true: start, and wait until the baseline of the folder is set. */
  start?: boolean;
}

/** A payload as it was posted; tests know its fields. */
export interface PostedEvent {
  type: string;
  timestamp: string;
  /** All of the contract; a test names the fields it looks at. */
  data: Readonly<Record<string, unknown>> & { event_id: string; uid: number; subject: string };
}

/** A user, a receiver and a daemon. */
export interface Scene extends AsyncDisposable {
  user: string;
  receiver: Receiver;
  daemon: TestDaemon;
  /** Puts messages into the user's INBOX. */
  deliver(...messages: readonly Uint8Array[]): Promise<void>;
  /** Plain messages, one for each subject. */
  deliverSubjects(...subjects: readonly string[]): Promise<void>;
  /** Waits for `count` requests in all, then every payload so far, in the order they came. */
  posted(count: number, timeoutMs?: number): Promise<PostedEvent[]>;
  /** A second client of the same user, logged in on the folder. */
  client(folder?: string): Promise<RawClient>;
}

let users = 0;

/** A user name that no other test of this process has. */
export const newUser = (): string => `user${(users += 1)}`;

const plain = (subject: string, headers: MessageHeaders = {}): Buffer =>
  plainMessage(`text of ${subject}`, { ...headers, subject });

/** Sets the scene; see {@link Scene}. */
export const openScene = async (server: Dovecot, options: SceneOptions = {}): Promise<Scene> => {
  const user = newUser();
  const { password } = server;
  await options.before?.(user);
  const answer = options.answer === undefined ? {} : { answer: options.answer };
  const receiver = await startReceiver({ secrets: [WEBHOOK_SECRET], ...answer });
  const daemon = createTestDaemon({
    mailboxes: [{ port: server.port, user, password, ...options.mailbox }],
    webhook: { url: receiver.url, ...options.webhook },
    ...(options.env === undefined ? {} : { env: options.env }),
    ...options.settings,
  });
  const dispose = async (): Promise<void> => {
    await daemon[Symbol.asyncDispose]();
    await receiver.stop();
  };
  try {
    if (options.start !== false) {
      await daemon.start();
      await daemon.waitForEvent("mailbox.first_contact");
    }
  } catch (error) {
    await dispose();
    throw error;
  }
  const deliver: Scene["deliver"] = (...messages) => server.deliver(user, messages);
  return {
    user,
    receiver,
    daemon,
    deliver,
    deliverSubjects: (...subjects) => deliver(...subjects.map((subject) => plain(subject))),
    posted: async (count, timeoutMs = 20_000) => {
      await receiver.waitFor(count, timeoutMs);
      return receiver.requests.map(({ body }) => JSON.parse(body) as PostedEvent);
    },
    client: (folder = "INBOX") =>
      rawClient({ host: server.host, port: server.port, login: { user, password, folder } }),
    [Symbol.asyncDispose]: dispose,
  };
};
