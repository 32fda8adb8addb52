// What the nodes of one Redis have in common besides state: the marker by which they notice that Redis
// lost it, the key of their hashes, and the server itself as far as it tells. Called when a node meets
// Redis.
import { AppError } from "../../../core/errors.ts";
import { sharedKey } from "../../../redis/keys.ts";
import { ASK_SERVER, parseServer } from "../../../redis/server-info.ts";
import type { SharedStore } from "../../shared/shared-store.ts";
import type { Store } from "../../store.ts";
import { ask, textOf } from "../../../redis/commands.ts";
import { INSTALLATION, type Parts } from "../keys.ts";

const MARKER_KEY = sharedKey("marker");
const HMAC_KEY = sharedKey("hmac-key");

/** What the nodes share besides state. */
export const createMeeting = ({
  redis,
  transact,
}: Parts): Pick<SharedStore, "readMarker" | "setMarker" | "offerHmacKey" | "readServer"> &
  Pick<Store, "hmacKey"> => {
  /** The value that stands: the first that was ever offered. */
  const offer = (key: string, value: string): Promise<string> =>
    transact(INSTALLATION, null, async ({ read, writes }) => {
      const [reply] = await read(["GET", key]);
      const standing = textOf(reply);
      if (standing === null) writes.set(key, value);
      return standing ?? value;
    });
  return {
    readMarker: () => redis.get(MARKER_KEY),
    setMarker: (marker) => offer(MARKER_KEY, marker),
    offerHmacKey: async (key) =>
      new Uint8Array(
        Buffer.from(await offer(HMAC_KEY, Buffer.from(key).toString("base64")), "base64"),
      ),
    hmacKey: async () => {
      const standing = await redis.get(HMAC_KEY);
      if (standing !== null) return new Uint8Array(Buffer.from(standing, "base64"));
      throw new AppError("store/no-hmac-key", "the shared state has no key for its hashes yet", {
        hint: "start the daemon once: the first node to reach Redis sets it",
      });
    },
    readServer: async () => parseServer(await ask(redis, ASK_SERVER)),
  };
};
