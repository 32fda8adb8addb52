// The counting gate: order, capacity, oversize amounts, aborts and double releases.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createGate } from "./gate.ts";

/** Lets every promise settle that can. */
const settle = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

describe("createGate", () => {
  test("admits up to its capacity and then in order of asking", async () => {
    const gate = createGate(2);
    const order: string[] = [];
    const enter = async (name: string) => {
      const release = await gate.acquire(1);
      order.push(name);
      return release;
    };
    const [a, b, c, d] = [enter("a"), enter("b"), enter("c"), enter("d")];
    await settle();
    expect(order).toEqual(["a", "b"]);
    (await b)();
    await settle();
    expect(order).toEqual(["a", "b", "c"]);
    (await a)();
    (await c)();
    (await d)();
    expect(gate.inUse()).toBe(0);
  });

  test("lets nobody small pass a big one that waits", async () => {
    const gate = createGate(10);
    const first = await gate.acquire(6);
    const order: string[] = [];
    void gate.acquire(6).then(() => order.push("big"));
    void gate.acquire(1).then(() => order.push("small"));
    await settle();
    expect(order).toEqual([]);
    first();
    await settle();
    expect(order).toEqual(["big", "small"]);
    expect(gate.inUse()).toBe(7);
  });

  test("admits an amount above its capacity alone", async () => {
    const gate = createGate(10);
    const small = await gate.acquire(1);
    let isInside = false;
    const big = gate.acquire(50).then((release) => {
      isInside = true;
      return release;
    });
    await settle();
    expect(isInside).toBe(false);
    small();
    (await big)();
    expect(gate.inUse()).toBe(0);
  });

  test("counts a release once however often it is called", async () => {
    const gate = createGate(2);
    const [release] = [await gate.acquire(1), await gate.acquire(1)];
    release();
    release();
    expect(gate.inUse()).toBe(1);
  });

  test("rejects with the signal's reason and lets those behind move up", async () => {
    const gate = createGate(10);
    const inside = await gate.acquire(5);
    const abort = new AbortController();
    const big = gate.acquire(9, abort.signal);
    const small = gate.acquire(5);
    abort.abort(new Error("stop"));
    await expect(big).rejects.toThrow("stop");
    (await small)();
    inside();
    expect(gate.inUse()).toBe(0);
    await expect(gate.acquire(1, abort.signal)).rejects.toThrow("stop");
  });

  test("never holds more than its capacity, except one alone, and ends empty", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 15 })), async (amounts) => {
        const gate = createGate(10);
        let inside = 0;
        await Promise.all(
          amounts.map(async (amount) => {
            const release = await gate.acquire(amount);
            inside += 1;
            expect(gate.inUse() <= 10 || inside === 1).toBe(true);
            await Promise.resolve();
            inside -= 1;
            release();
          }),
        );
        expect(gate.inUse()).toBe(0);
      }),
    );
  });
});
