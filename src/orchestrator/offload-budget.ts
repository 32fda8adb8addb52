// How much of a batch is taken at a time when attachments go to storage: enough to be quick, and so little
// that the mail behind it is looked at soon. Pure; the cycle asks after it has sifted a batch.
import type { Attachment } from "../core/message.ts";
import type { OffloadSettings } from "../core/settings.ts";
import { expectedBytes, wantedAttachments } from "../offload/wanted.ts";

/** Decoded bytes of the wanted attachments of a batch, those of the first message that has any left out. */
const BATCH_BYTES = 64 * 1024 * 1024;

/**
 * The messages of a batch to take now, in their order. The others are left to the next cycle; at least one
 * that has attachments to store is taken, and every one that has none. `settings` null: all.
 */
export const withinOffloadBudget = <T extends { plan: { attachments: readonly Attachment[] } }>(
  settings: OffloadSettings | null,
  messages: readonly T[],
): T[] => {
  if (settings === null || settings.storage === null) return [...messages];
  let isFirst = true;
  let bytes = 0;
  return messages.filter(({ plan }) => {
    const wanted = wantedAttachments(settings, plan.attachments);
    if (wanted.length === 0) return true;
    if (isFirst) {
      isFirst = false;
      return true;
    }
    const own = wanted.reduce((sum, one) => sum + expectedBytes(one), 0);
    if (bytes + own > BATCH_BYTES) return false;
    bytes += own;
    return true;
  });
};
