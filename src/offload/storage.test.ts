// Uploads under a clock that the test moves: how long a storage is waited for, who waits for whom, when it
// is left alone, and what of all that an operator is told.
import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { type FakeBehaviour, createFakeObjectStore } from "../../test/support/fake-object-store.ts";
import { type VirtualClock, createVirtualClock } from "../../test/support/virtual-clock.ts";
import { LeaseLostError, MailError } from "../core/errors.ts";
import type { LogFields } from "../app-logging/logger.ts";
import { createMetrics } from "../app-logging/metrics.ts";
import { createAvailability } from "./availability.ts";
import type { ObjectPut, ObjectStore } from "./object-store.ts";
import { type Upload, type UploadResult, createStorage } from "./storage.ts";
import { OutOfTimeError } from "./upload.ts";

const never = new AbortController().signal;

const SETTINGS = { prefix: "in", publicBaseUrl: null, maxBytes: 1000 };

async function* bytesOf(...pieces: readonly string[]) {
  for (const piece of pieces) yield Buffer.from(piece);
}

const uploadOf = (fields: Partial<Upload> = {}): Upload => ({
  ...{ mailbox: "m", eventId: "evt_1", part: "2", contentType: "text/plain", filename: null },
  body: () => bytesOf("by", "tes"),
  assertLease: () => Promise.resolve(),
  progress: () => undefined,
  signal: never,
  ...fields,
});

const start = (
  options: {
    takesMs?: number;
    put?: (clock: VirtualClock) => ObjectStore["put"];
    settings?: { prefix?: string; publicBaseUrl?: string; maxBytes?: number };
  } = {},
) => {
  const clock = createVirtualClock();
  const bucket = createFakeObjectStore(clock, options.takesMs);
  const told: string[] = [];
  const log = (event: string, fields: LogFields = {}): void =>
    void told.push(`${event} ${String(fields["class"] ?? "")}`.trim());
  const metrics = createMetrics();
  const availability = createAvailability({ clock, log, metrics, what: "attachment" });
  const opened = bucket.open({} as never);
  const objectStore = { ...opened, ...(options.put && { put: options.put(clock) }) };
  const settings = { ...SETTINGS, ...options.settings };
  const deps = { clock, metrics, availability, settings, objectStore: () => objectStore };
  const storage = createStorage(deps);
  const ends: (string | undefined)[] = [];
  const endMs: number[] = [];
  /** Begins an upload; its end is a word in `ends`, at its place. */
  const begin = (fields: Partial<Upload> = {}): void => {
    const place = ends.push(undefined) - 1;
    const note = (word: string): void => {
      ends[place] = word;
      endMs[place] = clock.now();
    };
    storage.put(uploadOf(fields)).then(
      (result: UploadResult) => note(result.kind === "stored" ? "stored" : result.failure),
      (error: Error) => note(`threw ${error.name}`),
    );
  };
  /** What one upload comes to, at once. */
  const put = async (fields: Partial<Upload> = {}): Promise<string | undefined> => {
    begin(fields);
    await clock.advance(0);
    return ends.at(-1);
  };
  const fail = async (behaviour: FakeBehaviour, times = 1): Promise<void> => {
    bucket.behave(behaviour);
    for (let n = 0; n < times; n += 1) await put();
    bucket.behave("works");
  };
  return { clock, bucket, told, metrics, storage, begin, put, fail, ends, endMs };
};

describe("an upload", () => {
  test("lies under prefix, event and part, with the hash and size of its bytes", async () => {
    const { storage, bucket, metrics } = start();
    const sha256 = createHash("sha256").update("bytes").digest("hex");
    expect(await storage.put(uploadOf())).toEqual({
      kind: "stored",
      object: { key: "in/evt_1/2", url: null, sha256 },
      sizeBytes: 5,
    });
    expect(bucket.objects.get("in/evt_1/2")?.bytes.toString()).toBe("bytes");
    expect(await metrics.render()).toContain("signalpost_offload_bytes_total 5");
  });

  test("has a public URL where there is one, and a key without a slash in front", async () => {
    const { storage } = start({ settings: { prefix: "", publicBaseUrl: "https://files.test/a" } });
    expect(await storage.put(uploadOf({ part: "1.2" }))).toMatchObject({
      object: { key: "evt_1/1.2", url: "https://files.test/a/evt_1/1.2" },
    });
  });

  test("ends when it decodes to more than is wanted, and that is not the storage's fault", async () => {
    const { put, told, storage } = start({ settings: { maxBytes: 4 } });
    for (let n = 0; n < 5; n += 1) expect(await put()).toBe("too_large");
    expect([told, storage.isUsable()]).toEqual([[], true]);
  });

  test("fails with its body, and that is not the storage's fault either", async () => {
    const { put, storage } = start();
    const broken = async function* () {
      yield Buffer.from("by");
      throw new MailError("closed", "ECONNRESET");
    };
    for (let n = 0; n < 5; n += 1) expect(await put({ body: broken })).toBe("unreadable");
    expect(storage.isUsable()).toBe(true);
  });

  test("is not begun under a lost lease, and ends with its signal", async () => {
    const { put, begin, ends, bucket, clock } = start({ takesMs: 1000 });
    const lost = () => Promise.reject(new LeaseLostError("it went"));
    expect(await put({ assertLease: lost })).toBe("threw LeaseLostError");
    expect(bucket.puts).toHaveLength(0);
    const [cut, late] = [new AbortController(), new AbortController()];
    begin({ signal: cut.signal });
    begin({ signal: late.signal });
    await clock.advance(10);
    cut.abort();
    late.abort(new OutOfTimeError());
    await clock.advance(0);
    expect(ends.slice(1)).toEqual(["threw AbortError", "late"]);
  });
});

describe("a storage that stands still", () => {
  test("is waited for 5 s, and 2 s by whoever comes right after", async () => {
    const { clock, bucket, begin, ends, endMs } = start();
    bucket.behave("hangs");
    begin();
    await clock.advance(5000);
    begin();
    await clock.advance(2000);
    expect([ends, endMs]).toEqual([
      ["timeout", "timeout"],
      [5000, 7000],
    ]);
    expect(clock.sleepers()).toBe(0);
  });

  test("is not one that waits for the mail server", async () => {
    const slow = async function* (clock: VirtualClock) {
      for (let piece = 0; piece < 5; piece += 1) {
        await clock.sleep(20_000);
        yield Buffer.from("x");
      }
    };
    const { clock, begin, ends } = start();
    begin({ body: () => slow(clock) });
    await clock.advance(100_000);
    expect(ends).toEqual(["stored"]);
  });

  test("is one that takes bytes for ever without being slow to answer", async () => {
    // It tells of something every second and never comes to an end.
    const put = (clock: VirtualClock) => async (object: ObjectPut, sent: () => void) => {
      for await (const _ of object.body) sent();
      while (!object.signal.aborted) {
        await clock.sleep(1000);
        sent();
      }
    };
    const { clock, begin, ends, endMs } = start({ put });
    begin();
    await clock.advance(60_000);
    expect(ends).toEqual(["timeout"]);
    expect(endMs[0]).toBeGreaterThanOrEqual(30_000);
    expect(endMs[0]).toBeLessThan(31_000);
  });

  test("has four uploads at a time, two of a mailbox, and the others go on when it is given up", async () => {
    const { clock, bucket, begin, ends, endMs } = start();
    bucket.behave("hangs");
    for (const mailbox of ["a", "a", "a", "b", "b", "c"]) begin({ mailbox });
    await clock.advance(1000);
    expect(bucket.puts).toHaveLength(4);
    await clock.advance(4000);
    // The first to fail made room for one more, which is given less time.
    await clock.advance(2000);
    expect(ends.toSorted()).toEqual([...Array<string>(5).fill("timeout"), "unavailable"]);
    expect(endMs.toSorted((a, b) => a - b)).toEqual([5000, 5000, 5000, 5000, 5000, 7000]);
  });

  test("ends a wait in line with the work, and with the message's time", async () => {
    const { clock, begin, ends } = start({ takesMs: 3000 });
    const [ending, late] = [new AbortController(), new AbortController()];
    begin();
    begin();
    begin({ signal: ending.signal });
    begin({ signal: late.signal });
    await clock.advance(10);
    ending.abort();
    late.abort(new OutOfTimeError());
    await clock.advance(0);
    expect(ends).toEqual([undefined, undefined, "threw AbortError", "late"]);
    await clock.advance(3000);
    expect(ends.slice(0, 2)).toEqual(["stored", "stored"]);
  });
});

describe("a storage that fails", () => {
  test("is left alone after two failures in a row, and probed by one upload at a time", async () => {
    const { clock, bucket, begin, put, fail, ends, told } = start({ takesMs: 1000 });
    await fail("server_error", 2);
    expect(await put()).toBe("unavailable");
    await clock.advance(29_000);
    expect(await put()).toBe("unavailable");
    await clock.advance(1000);
    begin();
    await clock.advance(0);
    expect(await put()).toBe("unavailable");
    await clock.advance(1000);
    expect(ends.at(-2)).toBe("stored");
    expect(bucket.puts).toHaveLength(3);
    expect(told).toEqual(["offload.unavailable server_error", "offload.back"]);
  });

  test("counts only failures in a row", async () => {
    const { fail, put, storage } = start();
    for (let n = 0; n < 3; n += 1) {
      await fail("reset");
      expect(await put()).toBe("stored");
    }
    expect(storage.isUsable()).toBe(true);
  });

  test("is probed after 30 s, doubling up to five minutes", async () => {
    const { clock, bucket, fail, put } = start();
    await fail("server_error", 2);
    bucket.behave("server_error");
    for (let minutes = 0; minutes < 30; minutes += 0.25) {
      await put();
      await clock.advance(15_000);
    }
    const [, last, ...probes] = bucket.puts.map(({ atMs }) => atMs / 1000);
    const waits = probes.map((at, n) => at - (probes[n - 1] ?? last ?? 0));
    expect(waits.slice(0, 6)).toEqual([30, 60, 120, 240, 300, 300]);
  });

  test("that refuses us is left alone at once, and that is told once until it works", async () => {
    const { clock, bucket, fail, put, told } = start();
    await fail("denied");
    expect(await put()).toBe("unavailable");
    bucket.behave("denied");
    for (let probe = 0; probe < 5; probe += 1) {
      await clock.advance(300_000);
      expect(await put()).toBe("denied");
    }
    expect(told).toEqual(["offload.denied denied"]);
    bucket.behave("works");
    await clock.advance(300_000);
    expect(await put()).toBe("stored");
    await fail("missing_bucket");
    expect(told.slice(1)).toEqual(["offload.back", "offload.denied missing_bucket"]);
  });

  test("in a way that nobody foresaw is a failure as any other", async () => {
    const { put, told } = start({ put: () => () => Promise.reject(new TypeError("a bug")) });
    expect(await put()).toBe("unknown");
    expect(await put()).toBe("unknown");
    expect(told).toEqual(["offload.unavailable unknown"]);
  });

  test("is probed again at once when a probe says nothing", async () => {
    const { clock, fail, put } = start({ settings: { maxBytes: 5 } });
    await fail("reset", 2);
    await clock.advance(30_000);
    expect(await put({ body: () => bytesOf("too large") })).toBe("too_large");
    expect(await put()).toBe("stored");
  });
});
