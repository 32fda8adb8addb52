// Payloads at rest: AES-256-GCM when the operator gave keys, plain UTF-8 otherwise. A sealed payload
// opens only under its key and for its own pair of event and destination. Called by the spool of each store.
import { createCipheriv, createDecipheriv, createHash } from "node:crypto";
import { AppError } from "../core/errors.ts";
import type { Random } from "../core/random.ts";

const KEY_BYTES = 32;
const IV_BYTES = 12;
const TAG_BYTES = 16;

/** What a payload belongs to; bound to it as associated data. */
export interface Pair {
  eventId: string;
  destination: string;
}

/** A payload as it is stored; without a key id it is plain UTF-8. */
export interface SealedPayload {
  keyId: string | null;
  bytes: Uint8Array;
}

/** Seals and opens payloads. */
export interface SpoolCipher {
  /** Ids of the keys at hand. */
  readonly keyIds: readonly string[];
  seal(pair: Pair, payload: string): SealedPayload;
  /** Throws when the key is not at hand, or when bytes, key or pair are not those of `seal`. */
  open(pair: Pair, sealed: SealedPayload): string;
}

/** How a row names its key: the first 8 hexadecimal digits of the key's SHA-256. */
const keyIdOf = (key: Uint8Array): string =>
  createHash("sha256").update(key).digest("hex").slice(0, 8);

const parseKey = (text: string): Uint8Array => {
  const key = Buffer.from(text, "base64");
  if (key.length === KEY_BYTES) return key;
  throw new AppError("store/spool-key", "a spool key is not the base64 of 32 bytes", {
    hint: "make one with: openssl rand -base64 32",
  });
};

const associatedData = ({ eventId, destination }: Pair): Buffer =>
  Buffer.from(`${eventId}\0${destination}`, "utf8");

const decrypt = (key: Uint8Array, pair: Pair, bytes: Uint8Array): string => {
  const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(0, IV_BYTES), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(associatedData(pair));
  decipher.setAuthTag(bytes.subarray(IV_BYTES, IV_BYTES + TAG_BYTES));
  const start = decipher.update(bytes.subarray(IV_BYTES + TAG_BYTES));
  return Buffer.concat([start, decipher.final()]).toString("utf8");
};

/**
 * A cipher over `spoolKeys`, each the base64 of 32 bytes: the first seals, all open. Without keys
 * payloads are stored as they are. Throws an AppError `store/spool-key` for anything else.
 */
export const createSpoolCipher = (spoolKeys: readonly string[], random: Random): SpoolCipher => {
  const keys = new Map(spoolKeys.map(parseKey).map((key) => [keyIdOf(key), key]));
  const [sealing] = keys;
  return {
    keyIds: [...keys.keys()],
    seal: (pair, payload) => {
      if (sealing === undefined) return { keyId: null, bytes: Buffer.from(payload, "utf8") };
      const [keyId, key] = sealing;
      const iv = random.bytes(IV_BYTES);
      const cipher = createCipheriv("aes-256-gcm", key, iv, { authTagLength: TAG_BYTES });
      cipher.setAAD(associatedData(pair));
      const body = [cipher.update(payload, "utf8"), cipher.final()];
      return { keyId, bytes: Buffer.concat([iv, cipher.getAuthTag(), ...body]) };
    },
    open: (pair, { keyId, bytes }) => {
      if (keyId === null) return Buffer.from(bytes).toString("utf8");
      const key = keys.get(keyId);
      if (key === undefined) {
        throw new AppError("store/spool-key-missing", "no configured key opens this payload", {
          hint: "add the former key to SIGNALPOST_SPOOL_KEY, after the present one",
        });
      }
      return decrypt(key, pair, bytes);
    },
  };
};
