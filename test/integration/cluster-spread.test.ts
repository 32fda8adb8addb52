// Many mailboxes on several nodes: how they spread, move and come back when nodes come and go, what the
// status tells of it on every node, and documents that are in force on all nodes at their next cycle.
import { setTimeout as sleep } from "node:timers/promises";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ClusterScene, openCluster } from "../support/cluster.ts";
import { calmHolder, PATIENCE_MS, startNodes } from "../support/cluster-steps.ts";
import type { TestDaemon } from "../support/daemon.ts";
import { deliveriesOf, messagesFor, subjectOf, until } from "../support/deliveries.ts";
import { type Dovecot, startDovecot } from "../support/dovecot.ts";
import { plainMessage } from "../support/mail.ts";
import { newUser } from "../support/scene.ts";

let dovecot: Dovecot;
beforeAll(async () => {
  dovecot = await startDovecot();
});
afterAll(async () => {
  await dovecot.stop();
});

/** Mailboxes `box1` and so on, each with a user of its own; by id. */
const createMailboxes = (count: number) => {
  const users = new Map(
    Array.from({ length: count }, (_, index) => [`box${index + 1}`, newUser()] as const),
  );
  return {
    users,
    settings: () =>
      [...users].map(([id, user]) => ({
        ...{ id, user, start_from: "beginning" },
        ...{ port: dovecot.port, password: dovecot.password },
      })),
    /** One message for each mailbox; returns the subjects. */
    deliverAll: async (word: string): Promise<readonly string[]> => {
      for (const [id, user] of users) {
        await dovecot.deliver(user, messagesFor([`${word} ${id}`]));
      }
      return [...users.keys()].map((id) => `${word} ${id}`);
    },
  };
};

/** The mailboxes that each node holds, by the nodes' own word; a node that does not answer has none. */
const holdings = async (
  scene: ClusterScene,
  names: readonly string[],
): Promise<readonly (readonly string[])[]> =>
  Promise.all(
    names.map(async (name) => {
      try {
        const { node, mailboxes } = await scene.node(name).status();
        return mailboxes
          .filter(({ lease }) => lease.state === "held" && lease.holder === node)
          .map(({ id }) => id);
      } catch {
        return [];
      }
    }),
  );

/** Waits until every mailbox is held by one node, and each node has its share, give or take a fifth. */
const untilSpread = async (
  scene: ClusterScene,
  names: readonly string[],
  count: number,
): Promise<void> => {
  const even = count / names.length;
  let last: readonly number[] = [];
  const isSpread = async (): Promise<boolean> => {
    const held = await holdings(scene, names);
    last = held.map(({ length }) => length);
    return (
      new Set(held.flat()).size === count &&
      held.flat().length === count &&
      last.every((share) => Math.abs(share - even) <= even / 5)
    );
  };
  await until(`${count} mailboxes on ${names.join()}`, isSpread, 2 * PATIENCE_MS).catch(
    (error: Error) => {
      throw new Error(`${error.message}; they hold ${last.join()}`);
    },
  );
};

const untilArrived = async (scene: ClusterScene, names: readonly string[]): Promise<void> =>
  until(
    `${names.length} messages arrive`,
    () => deliveriesOf(scene.receiver.requests).missing(names).length === 0,
    PATIENCE_MS,
  );

describe("mailboxes on several nodes", { tags: ["redis", "resilience"] }, () => {
  test("spread evenly, come back from a killed node and move to a new one without a repeat", async () => {
    const COUNT = 30;
    const boxes = createMailboxes(COUNT);
    await using scene = await openCluster(dovecot, {
      ...{ nodes: ["a", "b", "c"], mailboxes: boxes.settings, scale: 0.2 },
    });
    const { receiver } = scene;
    await Promise.all(["a", "b", "c"].map((name) => scene.node(name).start()));
    await untilSpread(scene, ["a", "b", "c"], COUNT);
    const first = await boxes.deliverAll("first");
    await untilArrived(scene, first);

    scene.node("c").kill("SIGKILL");
    await scene.node("c").exit;
    const second = await boxes.deliverAll("second");
    await untilArrived(scene, second);
    await untilSpread(scene, ["a", "b"], COUNT);

    const before = receiver.requests.length;
    const names: string[] = [];
    const joined = scene.addNode("d").start();
    let isSpread = false;
    const arriving = (async () => {
      for (let round = 1; !isSpread; round += 1) {
        names.push(...(await boxes.deliverAll(`round${round}`)));
        await sleep(500);
      }
    })();
    try {
      await joined;
      await untilSpread(scene, ["a", "b", "d"], COUNT);
    } finally {
      isSpread = true;
      await arriving;
    }
    await untilArrived(scene, names);
    const moved = deliveriesOf(receiver.requests.slice(before));
    expect({ repeats: moved.repeats, torn: moved.torn }).toEqual({ repeats: 0, torn: [] });
    const d = scene.node("d").events("lock.acquired");
    expect(d.length).toBeGreaterThanOrEqual(8);
    for (const [id] of boxes.users) {
      const fences = receiver.requests
        .filter((request) => subjectOf(request).endsWith(` ${id}`))
        .toSorted((one, other) => one.beganMs - other.beganMs)
        .map(({ fence }) => fence);
      expect(fences, id).toEqual(fences.toSorted((one, other) => one - other));
    }
  });
});

describe("the status of a cluster", { tags: ["redis", "resilience"] }, () => {
  test("names nodes, holders, fences and standby on every node", async () => {
    await using scene = await openCluster(dovecot);
    await startNodes(scene, "a", "b");
    const holder = scene.node(await calmHolder(scene));
    const standby = scene.node(holder === scene.node("a") ? "b" : "a");
    const self = (await holder.status()).node;
    const other = (await standby.status()).node;
    const clusterOf = async (daemon: TestDaemon): Promise<Cluster> =>
      JSON.parse((await daemon.cli("status", "--cluster", "--json")).out) as Cluster;
    await expect
      .poll(async () => (await clusterOf(standby)).mailboxes[0], { timeout: PATIENCE_MS })
      .toMatchObject({ id: "default", holder: self, state: "held", standby: [other] });
    const { nodes, mailboxes } = await clusterOf(holder);
    expect(nodes.map(({ node }) => node).toSorted()).toEqual([self, other].toSorted());
    expect(nodes.map(({ held }) => held).toSorted()).toEqual([0, 1]);
    const acquired = await holder.waitForEvent("lock.acquired");
    expect(mailboxes[0]?.fence).toBe(acquired["fence"]);

    const { out, code } = await standby.cli("status", "--cluster");
    expect(code).toBe(0);
    expect(out).toContain(`NODE`);
    expect(out.split("\n").find((line) => line.startsWith("default"))).toMatch(
      new RegExp(`held +${self} .*${String(acquired["fence"])} +${other}$`),
    );
    const { mailboxes: seen, node } = await standby.status();
    expect(node).toBe(other);
    expect(seen[0]).toMatchObject({
      state: "standby",
      lease: { holder: self, fence: acquired["fence"] },
    });
  });
});

/** What `status --cluster --json` prints, as far as it is looked at here. */
interface Cluster {
  nodes: readonly { node: string; held: number }[];
  mailboxes: readonly { id: string; holder: string | null; fence: number | null }[];
}

describe("documents", { tags: ["redis", "resilience"] }, () => {
  test("are in force on every node at its next cycle, and a bad one changes nothing", async () => {
    const boxes = createMailboxes(4);
    await using scene = await openCluster(dovecot, { mailboxes: boxes.settings });
    const nodes = ["a", "b"].map((name) => scene.node(name));
    const [one] = nodes as [TestDaemon];
    for (const node of nodes) await node.start();
    await until(
      "both nodes hold some of the mailboxes",
      async () => {
        const held = await holdings(scene, ["a", "b"]);
        return held.flat().length === 4 && held.every(({ length }) => length > 0);
      },
      PATIENCE_MS,
    );
    const file = join(one.dir, "document.json");
    const set = async (name: string, document: unknown, ...more: string[]) => {
      writeFileSync(file, JSON.stringify(document));
      return await one.cli("config", "set", name, "--file", file, ...more);
    };
    const reloaded = () =>
      Promise.all(nodes.map((node) => node.waitForNext("config.reloaded", undefined, PATIENCE_MS)));
    /** One message of each sender into each mailbox; the subjects that came in. */
    const arrivedOf = async (word: string, senders: readonly string[]) => {
      const before = await settledSum(scene);
      for (const [id, user] of boxes.users) {
        const mails = senders.map((sender) =>
          plainMessage("text", { subject: `${word} ${id} ${sender}`, from: `<${sender}>` }),
        );
        await dovecot.deliver(user, mails);
      }
      const count = boxes.users.size * senders.length;
      await until(
        `${count} messages are settled`,
        async () => (await settledSum(scene)) === before + count,
        PATIENCE_MS,
      );
      return scene.receiver.requests.map(subjectOf).filter((name) => name.startsWith(`${word} `));
    };

    const polling = { interval_seconds: 1, sender_of_interest_for_polling: ["wanted@example.com"] };
    let heard = reloaded();
    expect(await set("polling_config", polling)).toMatchObject({ code: 0 });
    await heard;
    const gated = await arrivedOf("gated", ["wanted@example.com", "other@example.com"]);
    expect(gated).toHaveLength(4);
    expect(gated.every((name) => name.endsWith("wanted@example.com"))).toBe(true);

    heard = reloaded();
    const rule = {
      ...{ id: "no-spam", actions: { drop: true } },
      conditions: [{ field: "subject", operator: "contains", value: "dropped" }],
    };
    expect(await set("routing_rules", { rules: [rule] })).toMatchObject({ code: 0 });
    await heard;
    expect(await arrivedOf("dropped", ["wanted@example.com"])).toEqual([]);

    const { version } = JSON.parse((await one.cli("config", "get", "polling_config")).out) as {
      version: number;
    };
    const conflict = await set("polling_config", polling, "--if-version", String(version - 1));
    expect(conflict).toMatchObject({ code: 1, err: expect.stringContaining("conflict") });
    const bad = { interval_seconds: 0, sender_of_interest_for_polling: [] };
    const stored = { version: version + 1, updated_at: "2036-01-01T00:00:00.000Z", document: bad };
    await scene.redis.cli("SET", "signalpost:doc:polling_config", JSON.stringify(stored));
    for (const node of nodes) await node.waitForEvent("config.rejected");
    expect(await arrivedOf("kept", ["wanted@example.com", "other@example.com"])).toHaveLength(4);
    for (const node of nodes) {
      expect(node.events("config.rejected")).toMatchObject([
        { level: "warn", document: "polling_config", key: "polling.interval_seconds" },
      ]);
    }
  });
});

/** How many messages of all mailboxes are settled, as one of the nodes tells. */
const settledSum = async (scene: ClusterScene): Promise<number> => {
  const held = await holdings(scene, ["a", "b"]);
  const statuses = await Promise.all(["a", "b"].map((name) => scene.node(name).status()));
  return statuses
    .flatMap(({ mailboxes }, index) => mailboxes.filter(({ id }) => held[index]?.includes(id)))
    .reduce((sum, { settled_up_to: upTo }) => sum + (upTo ?? 0), 0);
};
