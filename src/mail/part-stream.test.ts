// Reading a part range by range from a server made of plain objects: what is asked for, what comes out,
// and what is an error rather than an empty attachment.
import { describe, expect, test } from "vitest";
import { createVirtualClock } from "../../test/support/virtual-clock.ts";
import { createConnection } from "./connection.ts";
import { readPart } from "./part-stream.ts";
import type { MailSession, PartRange } from "./session.ts";

const MIB = 1024 * 1024;

/** A connection to a server with one part of message 7; `octets` null: it shows no such message. */
const start = (octets: Buffer | null, { uidvalidity = "5", rangeMs = 0, isNew = false } = {}) => {
  const clock = createVirtualClock();
  const asked: PartRange[] = [];
  let bytesRead = 0;
  let isKnown = !isNew;
  const session = {
    folder: { uidvalidity },
    fetchParts: async (requests, received) => {
      for (const { uid, ranges } of requests) {
        const [range] = ranges;
        if (octets === null || range === undefined || !isKnown) continue;
        asked.push(range);
        if (rangeMs > 0) await clock.sleep(rangeMs);
        const { offsetBytes, lengthBytes, part } = range;
        const found = octets.subarray(offsetBytes, offsetBytes + lengthBytes);
        bytesRead += found.length;
        received(uid, found.length === 0 ? new Map() : new Map([[part, found]]));
      }
    },
    searchUids: async () => {
      isKnown = true;
      return [7];
    },
    bytesRead: () => bytesRead,
    destroy: () => undefined,
  } as Pick<MailSession, "fetchParts"> as MailSession;
  const connection = createConnection({
    clock,
    openSession: () => Promise.resolve(session),
    request: () => ({}) as never,
    opened: () => undefined,
    stop: new AbortController().signal,
  });
  const read = async (encoding = "binary", sizeBytes = octets?.length ?? 1): Promise<Buffer> => {
    const pieces: Uint8Array[] = [];
    const source = { uid: 7, uidvalidity: "5", part: "2", encoding, sizeBytes };
    const reading = { clock, connection, endMs: clock.monoMs() + 600_000 };
    for await (const piece of readPart(reading, source)) pieces.push(piece);
    return Buffer.concat(pieces);
  };
  return { clock, asked, read };
};

/** The end of `promise` while time passes. */
const passing = async <T>(
  clock: { advance(ms: number): Promise<void> },
  promise: Promise<T>,
): Promise<T> => {
  promise.catch(() => undefined);
  for (let step = 0; step < 40; step += 1) await clock.advance(20_000);
  return promise;
};

describe("reading a part", () => {
  test("asks for a MiB at a time until a piece is shorter than asked for", async () => {
    const octets = Buffer.alloc(2 * MIB + 10, 3);
    const { clock, asked, read } = start(octets);
    expect((await passing(clock, read())).equals(octets)).toBe(true);
    expect(asked).toEqual(
      [0, MIB, 2 * MIB].map((offsetBytes) => ({ part: "2", offsetBytes, lengthBytes: MIB })),
    );
  });

  test("asks once more when the part ends where a piece ends", async () => {
    const { clock, asked, read } = start(Buffer.alloc(MIB, 3));
    expect((await passing(clock, read())).length).toBe(MIB);
    expect(asked).toHaveLength(2);
  });

  test("decodes over the border of two pieces", async () => {
    const bytes = Buffer.from(Array.from({ length: 1_000_000 }, (_, index) => index % 251));
    const { clock, read } = start(Buffer.from(bytes.toString("base64")));
    expect((await passing(clock, read("base64"))).equals(bytes)).toBe(true);
  });

  test("believes a server that has more than it said, and a part that is empty", async () => {
    const { clock, read } = start(Buffer.from("more than one"));
    expect((await passing(clock, read("7bit", 1))).toString()).toBe("more than one");
    const empty = start(Buffer.alloc(0));
    expect(await empty.read("7bit", 0)).toHaveLength(0);
  });

  test("looks again for a message that came after the session was opened", async () => {
    const { read } = start(Buffer.from("a new one"), { isNew: true });
    expect((await read()).toString()).toBe("a new one");
  });

  test("fails when the message is gone, or its part brings nothing of what was promised", async () => {
    const gone = start(null);
    await expect(gone.read()).rejects.toMatchObject({ code: "NOT_SHOWN" });
    const hollow = start(Buffer.alloc(0));
    await expect(hollow.read("base64", 100)).rejects.toMatchObject({ code: "NOT_SHOWN" });
  });

  test("fails in a folder that was renumbered, before anything is asked", async () => {
    const { asked, read } = start(Buffer.from("another message"), { uidvalidity: "6" });
    await expect(read()).rejects.toMatchObject({ code: "RENUMBERED" });
    expect(asked).toEqual([]);
  });

  test("fails when the server is slower than 64 KB/s", async () => {
    const { clock, read } = start(Buffer.alloc(MIB), { rangeMs: 40_000 });
    await expect(passing(clock, read())).rejects.toMatchObject({ code: "deadline/passed" });
  });
});
