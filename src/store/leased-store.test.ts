// Checks the store that work under a lease sees: the same answers, and an end to all waiting with the
// lease. Over a store whose answers the test holds back.
import { expect, test } from "vitest";
import { createLeasedStore } from "./leased-store.ts";
import type { Store } from "./store.ts";

/** A store whose `readTail` is answered when the test says so. */
const setUp = () => {
  const answer = Promise.withResolvers<never[]>();
  const lease = new AbortController();
  const asked: string[][] = [];
  const readTail = (...args: string[]): Promise<never[]> => {
    asked.push(args);
    return answer.promise;
  };
  const watch = () => () => undefined;
  const store = createLeasedStore({ readTail, watch } as unknown as Store, lease.signal);
  return { answer, asked, lease, store };
};

test("gives the answer of the store under it", async () => {
  const { answer, asked, store } = setUp();
  const reading = store.readTail("default", "INBOX");
  answer.resolve([]);
  expect(await reading).toEqual([]);
  expect(asked).toEqual([["default", "INBOX"]]);
  store.watch(() => undefined)();
});

test("gives the error of the store under it", async () => {
  const { answer, store } = setUp();
  const reading = store.readTail("default", "INBOX");
  answer.reject(new Error("full"));
  await expect(reading).rejects.toThrow("full");
});

test("waits for no answer once the lease has ended", async () => {
  const { answer, lease, store } = setUp();
  const reading = store.readTail("default", "INBOX");
  lease.abort();
  await expect(reading).rejects.toMatchObject({ name: "AbortError" });
  // What comes late is nobody's unhandled failure.
  answer.reject(new Error("late"));
  await expect(store.readTail("default", "INBOX")).rejects.toThrow("late");
});

test("counts an answer that is there, also when the lease has ended", async () => {
  const { answer, lease, store } = setUp();
  lease.abort();
  answer.resolve([]);
  expect(await store.readTail("default", "INBOX")).toEqual([]);
});
