// What a process that starts does with a store that went back to an older state: what its node remembered is
// newer, stands again, and is in force at once.
import { expect, test } from "vitest";
import { createVirtualClock } from "../../../test/support/virtual-clock.ts";
import type { StoredDocument } from "../../store/store.ts";
import { loadSettings } from "../load.ts";
import { followDocuments } from "./follow-documents.ts";
import { NO_DOCUMENTS, type StoredDocuments } from "./judge-documents.ts";

const SECRET = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;

const BASE = loadSettings({
  path: "c",
  env: {},
  readConfigFile: () => ({
    stamp: "1",
    text: `mailboxes:
  - { id: default, imap: { host: h.test, user: u, password: p } }
webhook: { url: "https://r.test/in", secret: ${SECRET} }
`,
  }),
});

const everySeconds = (version: number, updatedMs: number, seconds: number): StoredDocument => ({
  version,
  updatedMs,
  document: { interval_seconds: seconds },
});

const intervalAfterStart = async (
  stored: StoredDocument | null,
  remembered: StoredDocument | null,
): Promise<{ intervalMs: number; written: unknown[] }> => {
  const clock = createVirtualClock();
  const written: unknown[] = [];
  let present: StoredDocuments = { ...NO_DOCUMENTS, polling_config: stored };
  const follower = followDocuments({
    clock,
    log: () => undefined,
    refused: () => undefined,
    store: {
      read: async () => present,
      remembered: async () => ({ ...NO_DOCUMENTS, polling_config: remembered }),
      readSeed: async () => null,
      write: async (name, document) => {
        const version = (present[name]?.version ?? 0) + 1;
        present = { ...present, [name]: { version, updatedMs: clock.wallMs(), document } };
        if (name === "polling_config") written.push(document);
        return { kind: "written", version };
      },
    },
  });
  await follower.look(BASE);
  return { intervalMs: follower.over(BASE).settings.polling.intervalMs, written };
};

test("what the node remembers stands again when the store went back", async () => {
  const start = await intervalAfterStart(everySeconds(1, 1000, 10), everySeconds(2, 2000, 20));
  expect(start).toEqual({ intervalMs: 20_000, written: [{ interval_seconds: 20 }] });
});

test("what the node remembers stands again when the store lost it", async () => {
  const start = await intervalAfterStart(null, everySeconds(2, 2000, 20));
  expect(start).toEqual({ intervalMs: 20_000, written: [{ interval_seconds: 20 }] });
});

test("what the store has is in force when the node remembers less", async () => {
  const start = await intervalAfterStart(everySeconds(3, 3000, 30), everySeconds(2, 2000, 20));
  expect(start).toEqual({ intervalMs: 30_000, written: [] });
});

test("what another program wrote there is refused and left where it is", async () => {
  const foreign = { version: 0, updatedMs: 0, document: "no JSON" };
  const start = await intervalAfterStart(foreign, everySeconds(2, 2000, 20));
  expect(start).toEqual({ intervalMs: 20_000, written: [] });
});
