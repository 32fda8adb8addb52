// `receipts` and `redeliver`: each outcome in words, the missing receipt explained, and the request to
// send again. The store is a real file.
import { describe, expect, test } from "vitest";
import { NOW_MS, receiptOf, withWorkspace } from "../../../test/support/cli-workspace.ts";
import type { Receipt, Store } from "../../store/store.ts";

const seedReceipts = async (store: Store, receipts: readonly Receipt[]): Promise<void> => {
  const fence = await store.issueFence("default", NOW_MS);
  const cursor = {
    mailbox: "default",
    folder: "Private Folder",
    uidvalidity: "7",
    accountHash: "hash",
    firstContactMs: 0,
    settledUpTo: 10,
    settledAbove: [],
  };
  await store.commit({ mailbox: "default", fence, cursor, receipts });
};

describe("receipts", () => {
  test.each<[Partial<Receipt>, string]>([
    [{ outcome: "filtered", reason: "sender", pairs: {} }, "sender_of_interest_for_polling"],
    [{ outcome: "filtered", reason: "reply", pairs: {} }, "skip_replies"],
    [{ outcome: "filtered", reason: "rule_drop", pairs: {} }, "a rule drops it"],
    [{ outcome: "filtered", reason: "subject_group", pairs: {} }, "already had its event"],
    [{ outcome: "gone", pairs: {} }, "somebody removed it"],
    [
      {
        outcome: "spooled",
        pairs: { default: { kind: "waiting", attempts: 2, errorClass: "http_5xx" } },
      },
      "default: waiting after 2 attempts (http_5xx)",
    ],
    [
      {
        outcome: "parked",
        pairs: { "rule-x": { kind: "parked", attempts: 1, reason: "http_4xx" } },
      },
      "rule-x: parked after 1 attempt (http_4xx)",
    ],
    [{ reduced: true, reason: "too_large" }, "sent without its body: it is over a limit"],
    [{ todo: true }, "after_delivery is still owed"],
  ])("explains %j", async (more, words) => {
    await withWorkspace(async ({ run, seed }) => {
      await seed(async (store) => await seedReceipts(store, [receiptOf(3, more)]));
      const { code, out } = await run("receipts", "--mailbox", "default", "--uid", "3");
      expect(code).toBe(0);
      expect(out).toContain(words);
      expect(out).toContain("default uid 3  evt_3");
      expect(out).toContain("steps: fetch 12 ms, deliver 34 ms");
      expect(out).not.toContain("Private");
    });
  });

  test("prints the newest receipts first and no more than asked for", async () => {
    await withWorkspace(async ({ run, seed }) => {
      await seed(async (store) => {
        const receipts = [1, 2, 3].map((uid) => receiptOf(uid, { settledMs: NOW_MS + uid }));
        await seedReceipts(store, receipts);
      });
      const { out } = await run("receipts", "--last", "2", "--json");
      expect(JSON.parse(out)).toMatchObject([{ uid: 3 }, { uid: 2 }]);
    });
  });

  test("prints a receipt for programs without its folder", async () => {
    await withWorkspace(async ({ run, seed }) => {
      await seed(async (store) => await seedReceipts(store, [receiptOf(3)]));
      expect(JSON.parse((await run("receipts", "--json")).out)).toEqual([
        {
          event_id: "evt_3",
          mailbox: "default",
          uidvalidity: "7",
          uid: 3,
          outcome: "delivered",
          reason: null,
          reduced: false,
          settled_at: "2026-11-24T07:59:00.000Z",
          pairs: [{ destination: "default", state: "delivered", attempts: 1, reason: null }],
          steps_ms: { fetch: 12, deliver: 34 },
          after_delivery_owed: false,
        },
      ]);
    });
  });

  test("explains why a UID has no receipt", async () => {
    await withWorkspace(async ({ run, seed }) => {
      await seed(async () => undefined);
      expect((await run("receipts", "--uid", "5")).out).toContain("the folder was never opened");
      await seed(async (store) => await seedReceipts(store, [receiptOf(3)]));
      const settled = await run("receipts", "--uid", "5");
      const ahead = await run("receipts", "--uid", "11");
      expect(settled.out).toContain("before the first contact");
      expect(ahead.out).toContain("not read yet; everything up to UID 10 is settled");
    });
  });
});

describe("redeliver", () => {
  test("records each UID once for the daemon", async () => {
    await withWorkspace(async ({ run, seed }) => {
      await seed(async () => undefined);
      const { code, out } = await run("redeliver", "default", "3", "4", "3");
      expect(code).toBe(0);
      expect(out).toMatch(/^requested 2 of mailbox default/);
      await seed(async (store) => {
        expect((await store.readRedeliveries("default")).toSorted()).toEqual([3, 4]);
      });
    });
  });

  test("refuses a mailbox that is not configured and names those that are", async () => {
    await withWorkspace(async ({ run, seed }) => {
      await seed(async () => undefined);
      const { code, err } = await run("redeliver", "other", "3");
      expect(code).toBe(1);
      expect(err).toBe(
        "signalpost: cli/unknown_mailbox: no such mailbox is configured. Configured: default.",
      );
    });
  });
});
