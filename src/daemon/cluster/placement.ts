// Which node should poll which mailbox: rendezvous hashing with bounded load. Every node works it out for
// itself, and all that see the same nodes come to the same answer. Asked by the cluster's watch.
import { createHash } from "node:crypto";
import type { Member } from "./cluster.ts";

/** A mailbox and the nodes configured for it, the one it likes best first. */
interface Choice {
  mailbox: string;
  nodes: readonly string[];
}

/** How much a mailbox likes a node; the same on every node, unlike for every pair. */
const score = (mailbox: string, node: string): string =>
  createHash("sha256").update(`${mailbox}\0${node}`, "utf8").digest("hex");

const choiceOf = (
  mailbox: string,
  members: readonly Pick<Member, "node" | "mailboxes">[],
): Choice => {
  const scored = members
    .filter(({ mailboxes }) => mailboxes.includes(mailbox))
    .map(({ node }) => ({ node, score: score(mailbox, node) }));
  const nodes = scored.toSorted((a, b) => (a.score < b.score ? 1 : -1)).map(({ node }) => node);
  return { mailbox, nodes };
};

/**
 * The node for each mailbox, whatever the order of the arguments. A node gets at most
 * ⌈mailboxes / nodes⌉ + 1; what is over goes to the mailbox's next choice. Only where every node
 * configured for a mailbox is full does the emptiest of them get more. Left out: mailboxes that no node
 * is configured for.
 */
export const place = (
  mailboxes: readonly string[],
  members: readonly Pick<Member, "node" | "mailboxes">[],
): ReadonlyMap<string, string> => {
  const most = Math.ceil(mailboxes.length / members.length) + 1;
  const loads = new Map<string, number>();
  const load = (node: string): number => loads.get(node) ?? 0;
  const placed = new Map<string, string>();
  // Who has little choice chooses first.
  const choices = mailboxes
    .map((mailbox) => choiceOf(mailbox, members))
    .toSorted((a, b) => a.nodes.length - b.nodes.length || (a.mailbox < b.mailbox ? -1 : 1));
  for (const { mailbox, nodes } of choices) {
    const emptiest = nodes.toSorted((a, b) => load(a) - load(b))[0];
    const node = nodes.find((candidate) => load(candidate) < most) ?? emptiest;
    if (node === undefined) continue;
    placed.set(mailbox, node);
    loads.set(node, load(node) + 1);
  }
  return placed;
};
