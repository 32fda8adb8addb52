// Attachments and a whole daemon, on fake ports under a virtual clock: what an event says of them, and what
// a storage that is down, or refuses us, may cost: a few seconds in all, and no mail.
import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { type PostedData, startFakeDaemon } from "./support/fake-daemon.ts";

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;

const OFFLOAD = {
  endpoint: "https://bucket.fake.test",
  bucket: "my-mail",
  access_key_id: "id",
  secret_access_key: "secret",
};

const FILE = Buffer.from("the octets of a file");

const start = (offload: Record<string, unknown> = {}) =>
  startFakeDaemon({ offload: { ...OFFLOAD, ...offload } });

type Here = Awaited<ReturnType<typeof start>>;

/** When each message arrived and when its event was posted, by its subject. */
const watchDelays = (here: Here) => {
  const arrived = new Map<string, number>();
  const posted = new Map<string, number[]>();
  const { receiver, clock } = here;
  receiver.answerWith(({ body }) => {
    const { subject } = (JSON.parse(body) as { data: { subject: string } }).data;
    posted.set(subject, [...(posted.get(subject) ?? []), clock.now()]);
    return { kind: "answered", status: 200, retryAfter: null };
  });
  return {
    arrive: (subject: string): void => {
      arrived.set(subject, clock.now());
      here.server.deliverFile(subject, FILE);
    },
    /** What each message waited, in the order of arrival; each must have been posted once. */
    waits: (): number[] =>
      [...arrived].map(([subject, atMs]) => {
        const times = posted.get(subject) ?? [];
        expect(times, subject).toHaveLength(1);
        return (times[0] ?? NaN) - atMs;
      }),
  };
};

describe("an attachment", () => {
  test("lies in storage before its event is sent, which says where and how to get it", async () => {
    const here = await start({ prefix: "in", presign_seconds: 3600 });
    await here.clock.advance(SECOND_MS);
    here.server.deliverFile("a file", FILE);
    await here.clock.advance(SECOND_MS);
    const [event] = here.posted();
    const key = [...here.bucket.objects.keys()][0];
    expect(key).toMatch(/^in\/evt_[a-z2-7]{26}\/2$/);
    expect(here.bucket.objects.get(key ?? "")).toEqual({
      ...{ bytes: FILE, contentType: "application/pdf", filename: "file.pdf" },
    });
    expect(event).toMatchObject({
      truncated: [],
      attachments: [
        {
          key,
          url: expect.stringMatching(/^https:\/\/bucket\.fake\.test\/in\/.*\?until=\d+$/),
          sha256: createHash("sha256").update(FILE).digest("hex"),
          size: FILE.length,
        },
      ],
    });
    await here.stop();
    expect(here.bucket.isClosed()).toBe(true);
  });

  test("of a mail that a rule drops is not even read", async () => {
    const conditions = [{ field: "subject", operator: "contains", value: "a file" }];
    const rules = [{ id: "drop", name: "drop", conditions, actions: { drop: true } }];
    const here = await startFakeDaemon({ offload: OFFLOAD, rules });
    await here.clock.advance(SECOND_MS);
    here.server.deliverFile("a file", FILE);
    await here.clock.advance(MINUTE_MS);
    expect([here.bucket.puts, here.posted()]).toEqual([[], []]);
    await here.stop();
  });

  test("is read on a second connection that is closed when it has been idle", async () => {
    const here = await start();
    await here.clock.advance(SECOND_MS);
    for (let mail = 0; mail < 5; mail += 1) {
      here.server.deliverFile(`mail ${mail}`, FILE);
      await here.clock.advance(10 * SECOND_MS);
    }
    expect(here.server.attempts).toHaveLength(2);
    await here.clock.advance(2 * MINUTE_MS);
    here.server.deliverFile("later", FILE);
    await here.clock.advance(SECOND_MS);
    expect(here.server.attempts).toHaveLength(3);
    expect(here.bucket.objects.size).toBe(6);
    await here.stop();
  });

  test("that waits in the spool is signed anew at each attempt, under the same key", async () => {
    const here = await start();
    here.receiver.answerWith(() => ({ kind: "failed", errorClass: "refused" }));
    await here.clock.advance(SECOND_MS);
    here.server.deliverFile("a file", FILE);
    await here.clock.advance(5 * MINUTE_MS);
    const attempts = here.posted().map(({ attachments }) => attachments[0]);
    expect(attempts.length).toBeGreaterThan(2);
    expect(new Set(attempts.map((one) => one?.key)).size).toBe(1);
    expect(new Set(attempts.map((one) => one?.url)).size).toBe(attempts.length);
    expect(here.bucket.puts).toHaveLength(1);
    const signatures = here.receiver.requests.map(({ headers }) => headers["webhook-signature"]);
    expect(new Set(signatures).size).toBe(attempts.length);
    await here.stop();
  });

  test("that the mail server refuses to show costs its event nothing but itself", async () => {
    const here = await start();
    await here.clock.advance(SECOND_MS);
    here.server.refuseMoreSessions(true);
    here.server.deliverFile("a file", FILE);
    await here.clock.advance(20 * SECOND_MS);
    expect(here.posted()).toMatchObject([{ truncated: ["offload"], attachments: [{ key: null }] }]);
    expect(here.eventsOf("offload.failed")).toMatchObject([
      { what: "attachment", class: "unreadable", code: "LIMIT" },
    ]);
    expect(here.eventsOf("mailbox.failed")).toEqual([]);
    await here.stop();
  });
});

describe("a link of a transfer provider", () => {
  const WORKER = "https://worker.fake.test/fetch";
  const LINK = "https://www.dropbox.com/scl/fi/abc/film.zip?rlkey=R&dl=0";

  const startWorker = async (answer: (sourceUrl: string) => Record<string, unknown>) => {
    const here = await start({
      access_key_id: undefined,
      secret_access_key: undefined,
      public_base_url: "https://files.fake.test",
      fetch_worker: { url: WORKER, token: "token" },
    });
    here.receiver.answerWith(({ url, body }) => {
      const { source_url: sourceUrl } = JSON.parse(body) as { source_url: string };
      const said = url === WORKER ? { body: JSON.stringify(answer(sourceUrl)) } : {};
      return { kind: "answered", status: 200, retryAfter: null, ...said };
    });
    await here.clock.advance(SECOND_MS);
    const events = (): PostedData[] =>
      here.receiver.requests
        .filter(({ url }) => url !== WORKER)
        .map(({ body }) => (JSON.parse(body) as { data: PostedData }).data);
    return { ...here, events };
  };

  test("is fetched by the worker before the event is sent, which keeps it as written", async () => {
    const here = await startWorker(() => ({
      ...{ success: true, r2_url: "https://files.fake.test/dropbox/film.zip" },
      original_filename: "film.zip",
    }));
    here.server.deliver("a link", `get it: ${LINK}`);
    await here.clock.advance(SECOND_MS);
    expect(here.events()).toMatchObject([
      {
        truncated: [],
        links: [
          {
            url: LINK,
            offloaded_url: "https://files.fake.test/dropbox/film.zip",
            filename: "film.zip",
          },
        ],
      },
    ]);
    await here.stop();
  });

  test("is fetched for twenty links of a mail, and the event says that there are more", async () => {
    const here = await startWorker(() => ({
      success: true,
      r2_url: "https://files.fake.test/a/b",
    }));
    const links = Array.from({ length: 25 }, (_, n) => `https://we.tl.wetransfer.com/${n}`);
    here.server.deliver("links", links.join(" "));
    await here.clock.advance(SECOND_MS);
    const [event] = here.events();
    expect(event?.links.filter(({ offloaded_url: url }) => url !== null)).toHaveLength(20);
    expect(event?.truncated).toEqual(["offload"]);
    await here.stop();
  });
});

describe("a storage that is down", () => {
  test("for five minutes under 50 mails a minute costs all of them less than a minute", async () => {
    const here = await start();
    const delays = watchDelays(here);
    await here.clock.advance(SECOND_MS);
    here.bucket.behave("hangs");
    for (let mail = 0; mail < 250; mail += 1) {
      delays.arrive(`mail ${mail}`);
      await here.clock.advance(1200);
    }
    here.bucket.behave("works");
    for (let mail = 250; mail < 500; mail += 1) {
      delays.arrive(`mail ${mail}`);
      await here.clock.advance(1200);
    }
    await here.clock.advance(MINUTE_MS);
    const waits = delays.waits();
    const sumMs = waits.reduce((sum, waitMs) => sum + waitMs, 0);
    expect(sumMs).toBeLessThan(45 * SECOND_MS);
    expect(Math.max(...waits)).toBeLessThan(8 * SECOND_MS);
    expect(here.eventsOf("offload.unavailable")).toHaveLength(1);
    expect(here.eventsOf("offload.back")).toHaveLength(1);
    // The tries of the beginning and a few probes: the rest went out without knocking.
    expect(here.bucket.puts.length - here.bucket.objects.size).toBeLessThan(8);
    expect(here.posted()[100]).toMatchObject({ truncated: ["offload"] });
    expect(here.posted().at(-1)).toMatchObject({ truncated: [] });
    await here.stop();
  });

  test("does not hold up a stop, and its mail is left to the next process", async () => {
    const here = await start();
    await here.clock.advance(SECOND_MS);
    here.bucket.behave("hangs");
    here.server.deliverFile("a file", FILE);
    await here.clock.advance(SECOND_MS);
    const beforeMs = here.clock.now();
    await here.stop();
    expect(here.clock.now() - beforeMs).toBeLessThan(SECOND_MS);
    expect(here.posted()).toEqual([]);
    expect(here.eventsOf("message.delivered")).toEqual([]);
  });

  test("stores the attachments of what is sent again by an operator, once it works", async () => {
    const here = await start();
    await here.clock.advance(SECOND_MS);
    here.bucket.behave("server_error");
    here.server.deliverFile("a file", FILE);
    await here.clock.advance(SECOND_MS);
    here.bucket.behave("works");
    await here.store().requestRedelivery("default", [1]);
    await here.clock.advance(MINUTE_MS);
    const [before, after] = here.posted();
    expect(before).toMatchObject({ truncated: ["offload"], attachments: [{ key: null }] });
    expect(after).toMatchObject({ truncated: [], attachments: [{ sha256: expect.any(String) }] });
    await here.stop();
  });
});

describe("a storage that refuses us", () => {
  test("is one alarm, however much mail comes, and an end of it when it works", async () => {
    const here = await start();
    await here.clock.advance(SECOND_MS);
    here.bucket.behave("denied");
    for (let mail = 0; mail < 100; mail += 1) {
      here.server.deliverFile(`mail ${mail}`, FILE);
      await here.clock.advance(1200);
    }
    expect(here.posted()).toHaveLength(100);
    const told = here.lines.filter(({ event }) => String(event).startsWith("offload."));
    expect(told).toMatchObject([{ event: "offload.denied", level: "error", class: "denied" }]);
    here.bucket.behave("works");
    for (let mail = 0; mail < 10; mail += 1) {
      here.server.deliverFile(`more ${mail}`, FILE);
      await here.clock.advance(30 * SECOND_MS);
    }
    expect(here.eventsOf("offload.back")).toHaveLength(1);
    expect(here.bucket.objects.size).toBeGreaterThan(0);
    await here.stop();
  });
});
