// A folder whose UIDVALIDITY changes under a running daemon, on fake ports under a virtual clock: what
// was asked for by UID must not be done to the messages that have these UIDs now.
import { expect, test } from "vitest";
import { startFakeDaemon } from "./support/fake-daemon.ts";

const MINUTE_MS = 60_000;

test("a redelivery asked for under an old UIDVALIDITY is not made under the new one", async () => {
  const here = await startFakeDaemon();
  await here.clock.advance(1000);
  for (let mail = 0; mail < 3; mail += 1) here.server.deliver(`mail ${mail}`, "text");
  await here.clock.advance(MINUTE_MS);
  expect(here.posted().map(({ uid }) => uid)).toEqual([1, 2, 3]);
  here.server.setDown(true);
  const store = here.store();
  await store.requestRedelivery("default", [2]);
  here.server.setUidvalidity("2");
  here.server.setDown(false);
  await here.clock.advance(10 * MINUTE_MS);
  expect(here.eventsOf("mailbox.reset")).toHaveLength(1);
  expect(await store.readRedeliveries("default")).toEqual([]);
  expect(here.posted()).toHaveLength(3);
  await here.stop();
});
