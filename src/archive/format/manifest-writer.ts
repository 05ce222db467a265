import { FOOTER_BYTES, FOOTER_MAGIC, FRAME_BYTES, type Member, type Summary } from './manifest.ts';
import { zstdFrame } from './zstd-frame.ts';

function encodeMember(member: Member): string {
  return `${JSON.stringify({ member })}\n`;
}

const LEVEL = 3;

/** One of the frames that a manifest consists of. */
export function manifestFrame(text: Uint8Array): Buffer {
  return zstdFrame(text, LEVEL);
}

/** What a manifest ends with. @param position bytes before it */
export function manifestTail(summary: Summary, position: number): Buffer {
  const footer = Buffer.alloc(FOOTER_BYTES);
  footer.writeUInt32LE(FOOTER_MAGIC, 0);
  footer.writeUInt32LE(8, 4);
  footer.writeBigUInt64LE(BigInt(position), 8);
  return Buffer.concat([manifestFrame(Buffer.from(`${JSON.stringify({ summary })}\n`)), footer]);
}

/** What a manifest is written to: a file that grows at its end. */
export interface Sink {
  readonly position: number;
  append(bytes: Uint8Array): void;
}

/** Writes a manifest in order, with bounded memory. */
export class ManifestWriter {
  readonly #sink: Sink;
  #pending: string[] = [];
  #pendingLength = 0;

  constructor(sink: Sink) {
    this.#sink = sink;
  }

  /** @param lines The entries' lines, as `encodeEntry` makes them. */
  add(member: Member, lines: string): void {
    this.#push(encodeMember(member));
    this.#push(lines);
    if (this.#pendingLength >= FRAME_BYTES) this.#flush();
  }

  finish(summary: Summary): void {
    this.#flush();
    this.#sink.append(manifestTail(summary, this.#sink.position));
  }

  #push(text: string): void {
    this.#pending.push(text);
    this.#pendingLength += text.length;
  }

  #flush(): void {
    if (this.#pendingLength > 0) this.#sink.append(manifestFrame(Buffer.from(this.#pending.join(''))));
    this.#pending = [];
    this.#pendingLength = 0;
  }
}
