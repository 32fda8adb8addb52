// What every store promises about configuration documents and about an operator's decision where a
// mailbox begins. Called by storeContract.
import { describe, expect, test } from "vitest";
import { type OpenStore, NOW, cursorOf, receiptOf } from "./samples.contract.ts";

const NONE = { polling_config: null, routing_rules: null, webhook_config: null };
const FIRST = { ifVersion: 0, nowMs: NOW };

/** Documents. */
export const documentsContract = (open: OpenStore): void => {
  describe("documents", () => {
    test("a document that was never written is null", async () => {
      await using opened = await open();
      expect(await opened.store.readDocuments()).toEqual(NONE);
    });

    test("a document comes back as it was written, also to another process", async () => {
      await using opened = await open();
      const document = { rules: [{ id: "a", value: 'ä"\\', nested: [1, null, true] }] };
      const written = await opened.store.writeDocument("routing_rules", document, FIRST);
      expect(written).toEqual({ kind: "written", version: 1 });
      expect(await (await opened.reopen()).readDocuments()).toEqual({
        ...NONE,
        routing_rules: { version: 1, updatedMs: NOW, document },
      });
    });

    test("each write counts one up, and each document for itself", async () => {
      await using opened = await open();
      const { store } = opened;
      await store.writeDocument("polling_config", { a: 1 }, FIRST);
      await store.writeDocument("webhook_config", { b: 1 }, FIRST);
      const second = { ifVersion: 1, nowMs: NOW + 5 };
      const written = await store.writeDocument("polling_config", { a: 2 }, second);
      expect(written).toEqual({ kind: "written", version: 2 });
      expect(await store.readDocuments()).toEqual({
        ...NONE,
        polling_config: { version: 2, updatedMs: NOW + 5, document: { a: 2 } },
        webhook_config: { version: 1, updatedMs: NOW, document: { b: 1 } },
      });
    });

    test.each([
      ["there is none yet", 1, 0],
      ["there is one already", 0, 1],
    ])("a write that expects another version changes nothing: %s", async (_, ifVersion, stored) => {
      await using opened = await open();
      const { store } = opened;
      if (stored > 0) await store.writeDocument("polling_config", { a: 1 }, FIRST);
      const before = await store.readDocuments();
      const late = { ifVersion, nowMs: NOW + 1 };
      const refused = await store.writeDocument("polling_config", { a: 2 }, late);
      expect(refused).toEqual({ kind: "conflict", version: stored });
      expect(await store.readDocuments()).toEqual(before);
    });

    test("of two processes that write the same version one is refused", async () => {
      await using opened = await open();
      const stores = [opened.store, await opened.reopen()];
      const writes = stores.map((store, index) =>
        store.writeDocument("polling_config", { index }, FIRST),
      );
      const kinds = (await Promise.all(writes)).map(({ kind }) => kind);
      expect(kinds.toSorted()).toEqual(["conflict", "written"]);
    });

    test("a write that expects no version in particular is always taken", async () => {
      await using opened = await open();
      const { store } = opened;
      const always = { ifVersion: null, nowMs: NOW };
      await store.writeDocument("polling_config", { a: 1 }, always);
      const written = await store.writeDocument("polling_config", { a: 2 }, always);
      expect(written).toEqual({ kind: "written", version: 2 });
    });
  });
};

/** Where a mailbox begins whose state is lost. */
export const adoptionContract = (open: OpenStore): void => {
  describe("a mailbox whose beginning an operator decides", () => {
    test("the last decision stands, for this mailbox alone, and other processes read it", async () => {
      await using opened = await open();
      const { store } = opened;
      expect(await store.readAdoption("m")).toBeNull();
      await store.adopt("m", "now");
      await store.adopt("m", "2026-11-01");
      expect(await (await opened.reopen()).readAdoption("m")).toBe("2026-11-01");
      expect(await store.readAdoption("other")).toBeNull();
    });

    test("it stands until a cursor of the mailbox is committed", async () => {
      await using opened = await open();
      const { store } = opened;
      await store.adopt("m", "beginning");
      await store.commit({ mailbox: "m", fence: 1, receipts: [receiptOf(1)] });
      await store.commit({ mailbox: "other", fence: 1, cursor: cursorOf({ mailbox: "other" }) });
      expect(await store.readAdoption("m")).toBe("beginning");
      await store.commit({ mailbox: "m", fence: 1, cursor: cursorOf() });
      expect(await store.readAdoption("m")).toBeNull();
    });
  });
};
