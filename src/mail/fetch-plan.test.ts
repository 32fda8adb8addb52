// What of a structure is text, what is an attachment, and where the walk stops.
import { describe, expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../core/limits.ts";
import type { BodyNode } from "../core/message.ts";
import { planFetch } from "./fetch-plan.ts";

const node = (part: string, type: string, more: Partial<BodyNode> = {}): BodyNode => ({
  part,
  type,
  charset: null,
  encoding: "7bit",
  sizeBytes: 10,
  disposition: null,
  filename: null,
  contentId: null,
  children: [],
  ...more,
});

const mixed = (children: BodyNode[]): BodyNode => node("", "multipart/mixed", { children });

const partsOf = (list: readonly { part: string }[]): string[] => list.map(({ part }) => part);

describe("planFetch", () => {
  test("takes a single part for the text", () => {
    const plan = planFetch(node("1", "text/plain", { charset: "utf-8" }), DEFAULT_LIMITS);
    expect(plan.texts).toEqual([
      { part: "1", kind: "text", encoding: "7bit", charset: "utf-8", sizeBytes: 10 },
    ]);
    expect(plan).toMatchObject({ attachments: [], truncated: [], tooDeep: false });
  });

  test("keeps the order of the message and enters nested multiparts", () => {
    const alternative = node("1", "multipart/alternative", {
      children: [node("1.1", "text/plain"), node("1.2", "text/html")],
    });
    const plan = planFetch(mixed([alternative, node("2", "text/plain")]), DEFAULT_LIMITS);
    expect(plan.texts.map(({ part, kind }) => [part, kind])).toEqual([
      ["1.1", "text"],
      ["1.2", "html"],
      ["2", "text"],
    ]);
  });

  test("lists what is not plain text or HTML, and text with attachment disposition", () => {
    const plan = planFetch(
      mixed([
        node("1", "text/html", { disposition: "inline", filename: "a.html" }),
        node("2", "text/html", { disposition: "ATTACHMENT", filename: "b.html" }),
        node("3", "image/png", { disposition: "inline", contentId: "<x>" }),
        node("4", "text/calendar"),
      ]),
      DEFAULT_LIMITS,
    );
    expect(partsOf(plan.texts)).toEqual(["1"]);
    expect(partsOf(plan.attachments)).toEqual(["2", "3", "4"]);
    expect(plan.attachments[1]).toEqual({
      filename: null,
      contentType: "image/png",
      sizeBytes: 10,
      encoding: "7bit",
      part: "3",
      contentId: "<x>",
      disposition: "inline",
      offloaded: null,
    });
  });

  test("lists an attached message and does not look inside", () => {
    const inner = [node("1.1", "text/plain")];
    const plan = planFetch(
      mixed([node("1", "message/rfc822", { children: inner })]),
      DEFAULT_LIMITS,
    );
    expect(plan.texts).toEqual([]);
    expect(partsOf(plan.attachments)).toEqual(["1"]);
  });

  test("looks at a bounded number of parts and says that it stopped", () => {
    const many = Array.from({ length: 10_000 }, (_, i) => node(`${i + 1}`, "text/plain"));
    const plan = planFetch(mixed(many), DEFAULT_LIMITS);
    expect(plan.texts).toHaveLength(50);
    expect(new Set(plan.truncated)).toEqual(new Set(["text", "attachments"]));
    const exact = planFetch(mixed(many.slice(0, 999)), { ...DEFAULT_LIMITS, maxTextParts: 999 });
    expect(exact.truncated).toEqual([]);
  });

  test("names the kind of text of which parts are left out", () => {
    const html = Array.from({ length: 51 }, (_, i) => node(`${i + 1}`, "text/html"));
    expect(planFetch(mixed(html), DEFAULT_LIMITS).truncated).toEqual(["html"]);
    expect(planFetch(mixed(html.slice(1)), DEFAULT_LIMITS).truncated).toEqual([]);
  });

  test("lists at most 200 attachments", () => {
    const files = Array.from({ length: 201 }, (_, i) => node(`${i + 1}`, "application/pdf"));
    const plan = planFetch(mixed(files), DEFAULT_LIMITS);
    expect(plan.attachments).toHaveLength(200);
    expect(plan.truncated).toEqual(["attachments"]);
  });

  test("gives up on a structure nested deeper than 100 multiparts, without recursion", () => {
    const nested = (depth: number): BodyNode => {
      let inner = node("1", "text/plain");
      for (let i = 0; i < depth; i += 1) inner = mixed([inner]);
      return inner;
    };
    expect(planFetch(nested(100), DEFAULT_LIMITS).tooDeep).toBe(false);
    expect(planFetch(nested(101), DEFAULT_LIMITS).tooDeep).toBe(true);
    expect(planFetch(nested(50_000), DEFAULT_LIMITS).tooDeep).toBe(true);
  });

  test("cuts file names by code points and says so", () => {
    const limits = { ...DEFAULT_LIMITS, maxNameChars: 3 };
    const cut = planFetch(node("1", "a/b", { filename: "🦊🦊🦊🦊" }), limits);
    expect(cut.attachments[0]?.filename).toBe("🦊🦊🦊");
    expect(cut.truncated).toEqual(["names"]);
    const whole = planFetch(node("1", "a/b", { filename: "🦊🦊🦊" }), limits);
    expect(whole.truncated).toEqual([]);
  });

  test("makes file names well-formed Unicode", () => {
    const plan = planFetch(node("1", "a/b", { filename: "a\ud800b" }), DEFAULT_LIMITS);
    expect(plan.attachments[0]?.filename).toBe("a\ufffdb");
  });
});
