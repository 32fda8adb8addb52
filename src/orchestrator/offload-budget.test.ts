// How much of a batch is taken when its attachments go to storage.
import { describe, expect, test } from "vitest";
import type { Attachment } from "../core/message.ts";
import type { OffloadSettings } from "../core/settings.ts";
import { withinOffloadBudget } from "./offload-budget.ts";

const MIB = 1024 * 1024;

const SETTINGS = {
  ...{ storage: {}, contentTypes: ["application/pdf"], filenames: [] },
  ...{ minBytes: 0, maxBytes: 1024 * MIB },
} as unknown as OffloadSettings;

const attachment = (sizeBytes: number, contentType: string): Attachment => ({
  ...{ filename: null, contentType, sizeBytes, encoding: "binary", part: "2" },
  ...{ contentId: null, disposition: null, offloaded: null },
});

/** A message with so many MiB of attachments, named by its place. */
const message = (name: string, mib: number, type = "application/pdf") => ({
  name,
  plan: { attachments: mib === 0 ? [] : [attachment(mib * MIB, type)] },
});

const taken = (settings: OffloadSettings | null, messages: ReturnType<typeof message>[]): string =>
  withinOffloadBudget(settings, messages)
    .map(({ name }) => name)
    .join("");

describe("a batch", () => {
  test("takes its first attachments however large, and 64 MiB behind them", () => {
    const batch = [message("a", 900), message("b", 40), message("c", 20), message("d", 10)];
    expect(taken(SETTINGS, batch)).toBe("abc");
  });

  test("leaves out what is too much, and takes what is small behind it", () => {
    const batch = [message("a", 1), message("b", 100), message("c", 30), message("d", 34)];
    expect(taken(SETTINGS, batch)).toBe("acd");
  });

  test("takes every message that has nothing to store", () => {
    const batch = [
      ...[message("a", 0), message("b", 100), message("c", 100), message("d", 0)],
      message("e", 100, "image/png"),
    ];
    expect(taken(SETTINGS, batch)).toBe("abde");
  });

  test("is taken whole when nothing is stored", () => {
    const batch = [message("a", 100), message("b", 100), message("c", 100)];
    expect(taken(null, batch)).toBe("abc");
    expect(taken({ ...SETTINGS, storage: null }, batch)).toBe("abc");
  });
});
