// The generated page and the JSON Schema: the page on disk is up to date, and both know every key.
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { configurationDoc } from "./configuration-doc.ts";
import { settingsJsonSchema } from "./json-schema.ts";
import { SETTINGS_KEYS } from "./keys.ts";

describe("docs/configuration.md", () => {
  const doc = configurationDoc();

  test("is what the schema gives; otherwise run `npm run docs`", () => {
    expect(readFileSync(new URL("../../docs/configuration.md", import.meta.url), "utf8")).toBe(doc);
  });

  test("has a row with a meaning for every key that takes a value", () => {
    const keys = SETTINGS_KEYS.filter(({ kind }) => kind !== "section" && kind !== "sections");
    expect(keys.length).toBeGreaterThan(60);
    for (const { key, description, environment } of keys) {
      expect(description).toMatch(/\.$/);
      expect(doc).toContain(`| \`${key}\` | `);
      for (const name of environment) expect(doc).toContain(`\`${name}\``);
    }
  });

  test("gives units, ranges, choices and defaults", () => {
    expect(doc).toContain(
      "| `webhook.timeout_seconds` | number, 1 to 300 (seconds) | `30` | `SIGNALPOST_WEBHOOK_TIMEOUT_SECONDS` |",
    );
    expect(doc).toContain('| `lock.fallback` | `auto`, `file`, `wait` | `"auto"` |');
  });
});

describe("the JSON Schema", () => {
  test("is strict everywhere and asks for what has no default", () => {
    const schema = settingsJsonSchema() as { required: string[]; additionalProperties: boolean };
    expect(schema.required).toEqual(["mailboxes"]);
    expect(schema.additionalProperties).toBe(false);
    const text = JSON.stringify(schema);
    expect(text.match(/"properties":/g)?.length).toBe(
      text.match(/"additionalProperties":false/g)?.length,
    );
  });
});
