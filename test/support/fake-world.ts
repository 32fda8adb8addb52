// A world for the daemon that is made of plain objects: one mail server, one receiver, one host, all
// under a clock that the test moves. For tests of the whole daemon without a socket, a file or a timer.
import { type ParseInWorker, UnparsableError } from "../../src/mail/raw/raw-message.ts";
import { MailError } from "../../src/core/errors.ts";
import type { BodyNode, Envelope, MessageMetadata } from "../../src/core/message.ts";
import type { UidSet } from "../../src/core/uid-set.ts";
import { contains } from "../../src/core/uid-set.ts";
import type { Clock } from "../../src/core/clock.ts";
import type { Ports } from "../../src/daemon/ports.ts";
import type { MailSession, OpenSession } from "../../src/mail/session.ts";
import type { HttpRequest, HttpResult, SendHttp } from "../../src/net/send-http.ts";
import { openSqliteMemory } from "../../src/store/sqlite.adapter.ts";

/** A message as the fake server keeps it. */
export interface FakeMail {
  uid: number;
  subject: string;
  text: string;
  internalDateMs: number;
  /** Its structure makes our own code throw. */
  isPoison?: boolean;
  /** The server tells nothing of its structure. */
  isShapeless?: boolean;
  /** A file beside its text, as it is. */
  file?: Buffer;
}

const envelopeOf = ({ uid, subject }: FakeMail): Envelope => ({
  messageId: `<${uid}@fake.test>`,
  inReplyTo: null,
  subject,
  date: null,
  from: [{ name: null, address: "sender@fake.test" }],
  sender: [],
  replyTo: [],
  to: [],
  cc: [],
});

const leaf = (part: string, type: string, sizeBytes: number): BodyNode => ({
  ...{ part, type, sizeBytes, charset: null, encoding: "binary", disposition: null },
  ...{ filename: null, contentId: null, children: [] },
});

const structureOf = ({ text, file }: FakeMail): BodyNode => {
  const only = { ...leaf("1", "text/plain", Buffer.byteLength(text)), charset: "utf-8" };
  if (file === undefined) return { ...only, encoding: "7bit" };
  const beside = leaf("2", "application/pdf", file.length);
  const attached = { ...beside, disposition: "attachment", filename: "file.pdf" };
  return { ...leaf("", "multipart/mixed", 0), children: [only, attached] };
};

/** The octets of one part of a mail. */
const octetsOf = ({ text, file }: FakeMail, part: string): Buffer =>
  part === "2" && file !== undefined ? file : Buffer.from(text);

const poisonous = (): BodyNode =>
  new Proxy({} as BodyNode, {
    get: () => {
      throw new TypeError("this structure cannot be looked at");
    },
  });

const toldStructureOf = (mail: FakeMail): BodyNode | null => {
  if (mail.isPoison === true) return poisonous();
  return mail.isShapeless === true ? null : structureOf(mail);
};

const metadataOf = (mail: FakeMail): MessageMetadata => ({
  uid: mail.uid,
  internalDateMs: mail.internalDateMs,
  sizeBytes: Buffer.byteLength(mail.text),
  envelope: envelopeOf(mail),
  structure: toldStructureOf(mail),
  headers: new Map(),
});

/** Called before each fetch with what it is for; what it throws, the fetch throws. */
export interface FakeTrouble {
  metadata?: (uids: readonly number[]) => void;
  /** Of a message read alone after it ended a connection; as `metadata` when it is not set. */
  suspect?: (uids: readonly number[]) => void;
  header?: (uid: number) => void;
  bodies?: (uids: readonly number[]) => void;
  /** As `header` when it is not set. */
  octets?: (uid: number, offsetBytes: number) => void;
}

/** A mail server with one folder. */
export const createFakeServer = (clock: Clock) => {
  let mails: FakeMail[] = [];
  let uidnext = 1;
  let isDown = false;
  let isFull = false;
  let uidvalidity = "1";
  const attempts: number[] = [];
  const trouble: FakeTrouble = {};
  const arrivals = new Set<() => void>();
  const deaths = new Set<() => void>();

  const session = (): MailSession => {
    let isDead = false;
    const died = new Promise<never>((_, reject) => {
      const die = (): void => {
        isDead = true;
        reject(new MailError("closed", "ECONNRESET"));
      };
      deaths.add(die);
    });
    died.catch(() => undefined);
    const command = <T>(run: () => T): Promise<T> =>
      isDead ? died : Promise.race([died, Promise.resolve().then(run)]);
    return {
      folder: {
        uidvalidity,
        uidnext,
        canIdle: true,
        canUidExpunge: true,
        canMove: true,
      },
      searchFrom: (from) =>
        command(() => mails.filter(({ uid }) => uid >= from).map(({ uid }) => uid)),
      searchUids: (uids: UidSet) =>
        command(() => mails.filter(({ uid }) => contains(uids, uid)).map(({ uid }) => uid)),
      searchSince: (sinceMs) =>
        command(() => mails.filter((m) => m.internalDateMs >= sinceMs).map(({ uid }) => uid)),
      fetchMetadata: (uids) =>
        command(() => {
          trouble.metadata?.(uids);
          return mails.filter(({ uid }) => uids.includes(uid)).map(metadataOf);
        }),
      fetchSuspect: (uid) =>
        command(() => {
          (trouble.suspect ?? trouble.metadata)?.([uid]);
          const mail = mails.find((one) => one.uid === uid);
          return mail === undefined ? null : metadataOf(mail);
        }),
      fetchHeader: (uid) =>
        command(() => {
          trouble.header?.(uid);
          const mail = mails.find((one) => one.uid === uid);
          if (mail === undefined) return null;
          const header = Buffer.from(`From: sender@fake.test\r\nSubject: ${mail.subject}\r\n\r\n`);
          return { internalDateMs: mail.internalDateMs, sizeBytes: 1, header };
        }),
      fetchParts: (requests, received) =>
        command(() => {
          trouble.bodies?.(requests.map(({ uid }) => uid));
          for (const { uid, ranges } of requests) {
            const mail = mails.find((one) => one.uid === uid);
            if (mail === undefined) continue;
            const pieces = ranges.map(({ part, offsetBytes, lengthBytes }) => {
              const octets = octetsOf(mail, part);
              return [part, octets.subarray(offsetBytes, offsetBytes + lengthBytes)] as const;
            });
            received(uid, new Map(pieces));
          }
        }),
      fetchRaw: (uid, offsetBytes, lengthBytes) =>
        command(() => {
          (trouble.octets ?? trouble.header)?.(uid, offsetBytes);
          const mail = mails.find((one) => one.uid === uid);
          if (mail === undefined) return null;
          return Buffer.from(mail.text).subarray(offsetBytes, offsetBytes + lengthBytes);
        }),
      waitForMail: (stop) =>
        Promise.race([
          died,
          new Promise<"news" | "quiet">((resolve) => {
            const news = (): void => resolve("news");
            arrivals.add(news);
            const quiet = (): void => {
              arrivals.delete(news);
              resolve("quiet");
            };
            if (stop.aborted) quiet();
            else stop.addEventListener("abort", quiet, { once: true });
          }),
        ]),
      addFlag: () => command(() => undefined),
      move: () => command(() => undefined),
      expunge: () => command(() => undefined),
      bytesRead: () => 0,
      close: () => Promise.resolve(),
      destroy: () => {
        isDead = true;
      },
    };
  };

  const openSession: OpenSession = async () => {
    attempts.push(clock.monoMs());
    if (isDown) throw new MailError("unreachable", "ECONNREFUSED");
    if (isFull) throw new MailError("throttled", "LIMIT");
    return session();
  };

  const arrive = (mail: Omit<FakeMail, "uid" | "internalDateMs">): void => {
    mails.push({ ...mail, uid: uidnext, internalDateMs: clock.wallMs() });
    uidnext += 1;
    for (const news of arrivals) news();
    arrivals.clear();
  };

  return {
    openSession,
    /** When each connection was tried, by the monotonic clock. */
    attempts,
    /** What goes wrong with fetches, to be set by the test. */
    trouble,
    deliver: (subject: string, text: string): void => arrive({ subject, text }),
    /** Delivers a message with a file beside its text. */
    deliverFile: (subject: string, file: Buffer): void => arrive({ subject, text: "text", file }),
    /** Delivers a message on which our own code fails. */
    poison: (subject: string): void => arrive({ subject, text: "", isPoison: true }),
    /** Delivers a message whose structure cannot be told; its octets are its text. */
    shapeless: (subject: string, text: string): void =>
      arrive({ subject, text, isShapeless: true }),
    /** What the next session is told; "0" cannot be used. */
    setUidvalidity: (value: string): void => {
      uidvalidity = value;
    },
    expunge: (gone: number): void => {
      mails = mails.filter(({ uid }) => uid !== gone);
    },
    /** Living sessions stay, new ones are refused. */
    refuseMoreSessions: (refuse: boolean): void => {
      isFull = refuse;
    },
    /** Down: living sessions die, new ones are refused. */
    setDown: (down: boolean): void => {
      isDown = down;
      if (!down) return;
      for (const die of deaths) die();
      deaths.clear();
    },
  };
};

/** A receiver that answers what the test says; keeps every request. */
export const createFakeReceiver = () => {
  const requests: HttpRequest[] = [];
  let answer: (request: HttpRequest) => HttpResult = () => ({
    kind: "answered",
    status: 200,
    retryAfter: null,
  });
  let wait: (request: HttpRequest) => Promise<void> = () => Promise.resolve();
  const sendHttp: SendHttp = async (request) => {
    requests.push(request);
    await wait(request);
    return request.signal.aborted ? { kind: "aborted" } : answer(request);
  };
  return {
    sendHttp,
    requests,
    /** Every answer takes so long from now on. */
    answerAfter: (clock: Clock, ms: number): void => {
      wait = (request) => clock.sleep(ms, request.signal);
    },
    answerWith: (next: (request: HttpRequest) => HttpResult): void => {
      answer = next;
    },
  };
};

/** Ports over the fake world; `lines` keeps every log line, parsed, and `parser` can be replaced. */
export const createFakePorts = (
  world: Pick<Ports, "clock" | "random" | "openSession" | "sendHttp">,
): {
  ports: Ports;
  lines: Record<string, unknown>[];
  exits: number[];
  parser: { parse: ParseInWorker };
} => {
  const lines: Record<string, unknown>[] = [];
  const exits: number[] = [];
  const held = new Set<string>();
  const parser: { parse: ParseInWorker } = {
    parse: () => Promise.reject(new UnparsableError("failed")),
  };
  const ports: Ports = {
    ...world,
    parseInWorker: (...message) => parser.parse(...message),
    openObjectStore: () => {
      throw new Error("this world has no object storage");
    },
    openSqlite: () => openSqliteMemory(),
    openRedis: () => {
      throw new Error("this world has no Redis");
    },
    takeLocalLock: (path) => {
      if (held.has(path)) return { kind: "busy" };
      held.add(path);
      const release = (): void => void held.delete(path);
      return { kind: "held", lock: { stillInPlace: () => true, release } };
    },
    readConfigFile: () => null,
    serveHttp: () => Promise.resolve({ port: 1, close: () => Promise.resolve() }),
    watchEventLoop: () => ({ maxDelaySeconds: () => 0, stop: () => undefined }),
    writeLog: (line) => void lines.push(JSON.parse(line) as Record<string, unknown>),
    droppedLogLines: () => 0,
    exit: (code) => void exits.push(code),
  };
  return { ports, lines, exits, parser };
};
