// Rows of imapflow as metadata: what is kept of headers whatever their number, and whom a list of
// addresses names. The rows are written by hand, in the words of imapflow's own types.
import type { FetchMessageObject } from "imapflow";
import { describe, expect, test } from "vitest";
import type { MessageMetadata } from "../../core/message.ts";
import { readableMetadataOf } from "./metadata.adapter.ts";

const readFrom = (
  row: Partial<FetchMessageObject>,
  wanted: readonly string[] = [],
): MessageMetadata | null => {
  const usual = { seq: 1, uid: 1, size: 9, internalDate: new Date(0), envelope: {} };
  return readableMetadataOf({ ...usual, ...row }, new Set(wanted));
};

describe("readableMetadataOf", () => {
  test("keeps every value of the headers wanted, unfolded and decoded, and no other header", () => {
    const lines = [
      "Date: 1 Jan 2024 00:00 GMT",
      "List-Id: a",
      "X: 1",
      "list-id: =?utf-8?Q?=C3=A9?=",
      "\tb",
    ];
    const found = readFrom({ headers: Buffer.from(lines.join("\r\n")) }, ["list-id"]);
    expect([...(found?.headers ?? [])]).toEqual([["list-id", ["a", "é\tb"]]]);
    expect(found?.envelope?.date).toBe("2024-01-01T00:00:00.000Z");
  });

  test("looks at the first 64 KiB of the headers and at 16,384 characters of each", () => {
    const line = `List-Id: ${"x".repeat(20_000)}\r\n`;
    const headers = Buffer.from(line.repeat(240));
    const values = readFrom({ headers }, ["list-id"])?.headers.get("list-id") ?? [];
    expect(values.map(({ length }) => length)).toEqual([
      16_384,
      16_384,
      16_384,
      expect.any(Number),
    ]);
  });

  test("takes the name of a group for nobody, and an address without a domain for a name", () => {
    const envelope = {
      to: [{ name: "undisclosed-recipients", address: "" }],
      cc: [
        { name: "friends", address: "" },
        { name: "Ann", address: "ann@x.org" },
      ],
      from: [{ name: "", address: "nobody@MISSING_DOMAIN" }],
    };
    expect(readFrom({ envelope })?.envelope).toMatchObject({
      to: [],
      cc: [{ name: "Ann", address: "ann@x.org" }],
      from: [{ name: "nobody", address: null }],
    });
  });

  test("takes for no structure what has no type, or parts and none of them", () => {
    const read = (type: string, childNodes?: { type: string }[]): unknown =>
      readFrom({ bodyStructure: { type, ...(childNodes === undefined ? {} : { childNodes }) } })
        ?.structure;
    expect(["", "text", "undefined", "a b/c", "multipart/mixed"].map((type) => read(type))).toEqual(
      [null, null, null, null, null],
    );
    expect(read("text/plain")).toMatchObject({ part: "1", type: "text/plain" });
    expect(read("multipart/mixed", [{ type: "" }])).toMatchObject({
      children: [{ type: "application/octet-stream" }],
    });
  });
});
